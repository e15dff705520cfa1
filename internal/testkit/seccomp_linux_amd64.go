package testkit

const sysSeccomp = 317
