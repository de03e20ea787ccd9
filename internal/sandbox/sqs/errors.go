package sqs

import (
	"fmt"
	"net/http"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
)

// queryPrefix is what the Query protocol's codes begin with; SDKs of that age
// and boto3 match on them, so they travel in x-amzn-query-error.
const queryPrefix = "AWS.SimpleQueueService."

var (
	errNoQueue = &awswire.Error{
		Code: "QueueDoesNotExist", Query: queryPrefix + "NonExistentQueue",
		Message: "The specified queue does not exist.",
	}
	errNotInFlight = &awswire.Error{
		Code: "MessageNotInflight", Query: queryPrefix + "MessageNotInflight",
		Message: "The specified message isn't in flight.",
	}
	errOverLimit = &awswire.Error{
		Code: "OverLimit", Query: "OverLimit", Status: http.StatusForbidden,
		Message: "The maximum number of in flight messages is reached.",
	}
)

func invalid(format string, args ...any) *awswire.Error {
	return &awswire.Error{
		Code: "InvalidParameterValueException", Query: "InvalidParameterValue",
		Message: fmt.Sprintf(format, args...),
	}
}

func invalidValue(value any, parameter, reason string) *awswire.Error {
	return invalid("Value %v for parameter %s is invalid. Reason: %s", value, parameter, reason)
}

func missing(parameter string) *awswire.Error {
	return &awswire.Error{
		Code: "MissingRequiredParameterException", Query: "MissingParameter",
		Message: "The request must contain the parameter " + parameter + ".",
	}
}

func unknownAttribute(name string) *awswire.Error {
	return &awswire.Error{
		Code: "InvalidAttributeName", Query: "InvalidAttributeName",
		Message: "Unknown Attribute " + name + ".",
	}
}

func invalidAttribute(name, reason string) *awswire.Error {
	return &awswire.Error{
		Code: "InvalidAttributeValue", Query: "InvalidAttributeValue",
		Message: "Invalid value for the parameter " + name + ". Reason: " + reason,
	}
}

func badAddress(address string) *awswire.Error {
	return &awswire.Error{
		Code: "InvalidAddress", Query: "InvalidAddress", Status: http.StatusNotFound,
		Message: "The address " + address + " is not valid for this endpoint.",
	}
}

func badHandle(handle string) *awswire.Error {
	return &awswire.Error{
		Code: "ReceiptHandleIsInvalid", Query: "ReceiptHandleIsInvalid",
		Message: fmt.Sprintf("The input receipt handle %q is not a valid receipt handle.", handle),
	}
}

func badContents() *awswire.Error {
	return &awswire.Error{
		Code: "InvalidMessageContents", Query: "InvalidMessageContents",
		Message: "Invalid characters found. Valid unicode characters are " +
			"#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
	}
}

// ofBatch is a refusal of a whole batch, or of a queue's state, whose Query
// code is the shape's name behind the prefix.
func ofBatch(code, message string) *awswire.Error {
	return &awswire.Error{Code: code, Query: queryPrefix + code, Message: message}
}
