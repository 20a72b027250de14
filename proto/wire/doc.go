// Package wire converts between the vocabulary (package swarmnet) and its wire form (proto/swarmnet/v1).
//
// ToProto functions never fail. FromProto functions refuse what the vocabulary cannot hold (addresses of a wrong length,
// numbers out of range, unknown enumeration values) with an error that names the field; they check form, not sense: the
// vocabulary's Validate methods do that. A missing message or enumeration value reads as the zero value. Slices and maps
// without elements read as nil. Times are UTC.
package wire
