"""What the tests stand on: processes, certificates, tokens, a mesh, services that write down what they receive."""
