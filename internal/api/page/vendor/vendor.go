// Package vendor holds the chart library of the page, for pages of other rooms.
package vendor

import _ "embed"

// ScriptUPlot is uPlot, which defines the global uPlot.
//
//go:embed uPlot.iife.min.js
var ScriptUPlot string

// StyleUPlot is its style sheet.
//
//go:embed uPlot.min.css
var StyleUPlot string
