module peer/source

go 1.26.0
