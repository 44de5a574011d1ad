// Command hang is an init that does nothing: tests put it into an image.
package main

import "time"

func main() {
	for {
		time.Sleep(time.Hour)
	}
}
