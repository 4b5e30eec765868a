// Renders the chart as Helm does, with the template engine that Helm uses: Go's own. It knows the
// few functions that the chart may use; any other fails the test.
//
//	go run render.go CHART < {"Values": ..., "Chart": ..., "Release": ...}
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

func text(value any) (string, error) {
	data, err := json.Marshal(value)
	return string(data), err
}

func orDefault(other, value any) any {
	if value == nil || value == "" || value == false {
		return other
	}
	return value
}

func main() {
	var values map[string]any
	if err := json.NewDecoder(os.Stdin).Decode(&values); err != nil {
		panic(err)
	}
	functions := template.FuncMap{
		"toJson": text, "quote": text, "default": orDefault,
		"trimAll": func(cut, from string) string { return strings.Trim(from, cut) },
	}
	files, err := filepath.Glob(filepath.Join(os.Args[1], "templates", "*.yaml"))
	if err != nil || len(files) == 0 {
		panic("no templates")
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			panic(err)
		}
		parsed, err := template.New(file).Option("missingkey=error").Funcs(functions).Parse(string(source))
		if err != nil {
			panic(err)
		}
		var made bytes.Buffer
		if err := parsed.Execute(&made, values); err != nil {
			panic(err)
		}
		if strings.TrimSpace(made.String()) != "" { // as Helm leaves out what is empty
			fmt.Print("---\n", strings.TrimPrefix(made.String(), "\n"))
		}
	}
}
