// Conditions of AnalysisTemplates, decided by the expression engine that Argo Rollouts has, with the functions that it
// gives them (its utils/evaluate). In: one JSON array of [condition, [answers as text]] pairs. Out: one line for each,
// "true", "false" or "error: ...".
package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"

	"github.com/expr-lang/expr"
)

func decide(condition string, answers []string) (bool, error) {
	result := []float64{}
	for _, answer := range answers {
		value, err := strconv.ParseFloat(answer, 64)
		if err != nil {
			return false, err
		}
		result = append(result, value)
	}
	env := map[string]any{
		"result": result,
		"isNaN":  math.IsNaN,
		"isInf":  func(value float64) bool { return math.IsInf(value, 0) },
	}
	program, err := expr.Compile(condition, expr.Env(env))
	if err != nil {
		return false, err
	}
	output, err := expr.Run(program, env)
	if err != nil {
		return false, err
	}
	verdict, ok := output.(bool)
	if !ok {
		return false, fmt.Errorf("%v is no truth", output)
	}
	return verdict, nil
}

func main() {
	var asked [][2]json.RawMessage
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	for _, pair := range asked {
		var condition string
		var answers []string
		if err := json.Unmarshal(pair[0], &condition); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		if err := json.Unmarshal(pair[1], &answers); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		if verdict, err := decide(condition, answers); err != nil {
			fmt.Printf("error: %q\n", err.Error())
		} else {
			fmt.Println(verdict)
		}
	}
}
