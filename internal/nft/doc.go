// Package nft keeps one nftables table as it should be. A Table says it whole: chains and rules, which seldom change, and sets
// and maps, whose elements do. Ensure observes the table and does what is missing in one transaction: a table whose rules were
// changed by anybody is replaced at once, elements are added and removed one by one. Other tables are never touched.
package nft
