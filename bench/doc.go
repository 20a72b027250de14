// Command bench measures swarmnet against what a person would build by hand, side by side in one run, on the lab, and prints
// ratios: absolute figures of a shared machine say little. `make bench` runs it all; RESULTS.md keeps the figures.
package main
