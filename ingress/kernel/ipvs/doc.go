// Package ipvs makes the services of IPVS (ipvsadm(8)) what they are wanted to be, in one network namespace, observed before it acts. Table,
// Diff and Retired are pure; Conn is the kernel's side.
package ipvs
