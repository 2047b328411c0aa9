module github.com/dualpush-go/dualpush/middleware/openapitest

go 1.26.0

replace github.com/dualpush-go/dualpush => ../../

require (
	github.com/dualpush-go/dualpush v0.0.0-00010101000000-000000000000
	github.com/getkin/kin-openapi v0.153.0
	go.uber.org/goleak v1.3.0
)

require (
	github.com/coder/websocket v1.8.15 // indirect
	github.com/go-openapi/jsonpointer v0.22.5 // indirect
	github.com/go-openapi/swag/jsonname v0.25.5 // indirect
	github.com/gorilla/mux v1.8.0 // indirect
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.3 // indirect
	go.yaml.in/yaml/v4 v4.0.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	golang.org/x/time v0.16.0 // indirect
)
