module offbus.dev/matcher

go 1.22
