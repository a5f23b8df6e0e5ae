// Matches texts with patterns as the detectors that are written in Go do: one JSON array in, one out.
package main

import (
	"encoding/json"
	"os"
	"regexp"
)

type question struct {
	Pattern string
	Text    string
}

func main() {
	var asked []question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		panic(err)
	}
	compiled := map[string]*regexp.Regexp{}
	found := make([][]string, 0, len(asked))
	for _, one := range asked {
		if compiled[one.Pattern] == nil {
			compiled[one.Pattern] = regexp.MustCompile(one.Pattern)
		}
		found = append(found, compiled[one.Pattern].FindStringSubmatch(one.Text))
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		panic(err)
	}
}
