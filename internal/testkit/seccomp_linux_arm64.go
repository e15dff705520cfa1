package testkit

const sysSeccomp = 277
