package scaling

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"

	"github.com/novaura/acs-operator/config"
)

// DecideLines reads one observation a line and writes one decision a line, in
// one Write each, until in ends. The only clock is the observation's. A line
// that is not an observation is answered with {"error":"…"}; blank ones with
// nothing. Lines may be of any length. A key that is nearly one that is known is
// taken for a mistake, since what it says would be missing; other unknown keys
// are left out, so that a newer producer may tell more.
//
// Each of then may add to a decision, and sees what was observed.
//
// It returns the state after the last decision, and the first error of in or
// out.
func DecideLines(p *config.ScalingPolicy, state State, in io.Reader, out io.Writer, then ...func(Observation, *Decision)) (State, error) {
	lines := bufio.NewReaderSize(in, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if text := bytes.TrimSpace(line); len(text) > 0 {
			var answer any
			answer, state = decideLine(p, state, text, then)
			if writeErr := writeLine(out, answer); writeErr != nil {
				return state, writeErr
			}
		}
		if errors.Is(err, io.EOF) {
			return state, nil
		}
		if err != nil {
			return state, fmt.Errorf("read observation: %w", err)
		}
	}
}

// refusal answers a line that is not an observation.
type refusal struct {
	Error string `json:"error"`
}

func decideLine(p *config.ScalingPolicy, state State, line []byte, then []func(Observation, *Decision)) (answer any, next State) {
	var obs Observation
	switch err := json.Unmarshal(line, &obs); {
	case err != nil && json.Valid(line):
		return refusal{"read observation: " + mistyped(line, reflect.TypeFor[Observation](), "")}, state
	case err != nil:
		return refusal{"read observation: it is no JSON: " + err.Error()}, state
	case line[0] != '{':
		return refusal{"read observation: it is no JSON object"}, state
	case obs.Time.IsZero():
		return refusal{"read observation: it has no time"}, state
	}
	if problem := misspelt(line, p); problem != "" {
		return refusal{"read observation: " + problem}, state
	}
	decision, next := Decide(p, obs, state, obs.Time)
	for _, add := range then {
		add(obs, &decision)
	}
	return decision, next
}

func writeLine(out io.Writer, answer any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(answer); err != nil {
		return fmt.Errorf("encode decision: %w", err)
	}
	if _, err := out.Write(text.Bytes()); err != nil {
		return fmt.Errorf("write decision: %w", err)
	}
	return nil
}
