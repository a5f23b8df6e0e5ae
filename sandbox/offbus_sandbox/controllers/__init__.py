"""The controllers of the sandbox: each looks at the store and makes one kind of thing true."""
