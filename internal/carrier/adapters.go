package carrier

// adapters are the kinds of buses of this build.
var adapters = []adapter{
	{[]string{"memory"}, memory, checkMemory},
}
