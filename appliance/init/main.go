// Command init is the first program of the root.
package main

import (
	"log"

	"github.com/gokrazy/gokrazy"
)

func main() {
	if err := gokrazy.Boot("x"); err != nil {
		log.Fatal(err)
	}
	log.Print("up")
	select {}
}
