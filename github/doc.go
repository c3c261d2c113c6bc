// Package github knows GitHub: as the App, with tokens minted for one repository and one purpose and revoked after it, and as the people who
// linked their accounts.
//
// Commits come to it as a bundle, out of a sandbox that may lie. Collect unpacks the bundle in a quarantine repository of the session, where
// git finds what it builds on in a mirror of the remote, checks every commit that is not on the remote yet, and computes what people are shown.
// Open pushes the very commit that was checked, and opens the pull request with the token of the person who approved.
//
// It is the only package that imports go-github and ghinstallation.
package github
