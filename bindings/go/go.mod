module shmwire

go 1.19

require golang.org/x/sys v0.20.0
