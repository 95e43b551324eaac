"""Where the speed is made: register tiles, layouts in cache, threads that wait for each other. See README.md here."""
