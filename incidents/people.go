package main

func peopleIncidents() []Incident {
	return []Incident{
		{
			ID: "count-set-to-0", Short: true, Name: "Somebody sets the count to 0 (an emergency stop)",
			Cause: setCount(0), End: setCount(usualTasks),
			Expect: Expect{Count: LeftAt(0), Alerts: []string{"EmergencyStop"}, Words: []string{"from 2 to 0"}, Status: []string{"Stopped"}, Resolves: true},
		},
		{
			// The start lag keeps a hundred workers from this machine.
			ID: "count-set-to-100", Name: "Somebody sets the count to 100, above maxTasks",
			Cause: inOrder(standIn("ecs", `{"startLag":"1h"}`), setCount(100)), End: standIn("ecs", `{"startLag":"2s"}`),
			Expect: Expect{Count: Reaches(100), Alerts: []string{"CountChangedByOthers"}, Words: []string{"from 2 to 100"}, Resolves: true},
		},
	}
}
