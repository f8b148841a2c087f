module journal

go 1.24

require eshost/sdk/go v0.0.0

replace eshost/sdk/go => ../../../sdk/go
