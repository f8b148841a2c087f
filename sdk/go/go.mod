module eshost/sdk/go

go 1.24
