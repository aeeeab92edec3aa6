/// The command that comes next where a mesh is still empty.
struct NextStep {
    /// What it is for, as it follows "to".
    let purpose: String
    let command: String

    /// Offers a service.
    static let register = NextStep(purpose: "offer a service", command: "mesh register NAME --target 127.0.0.1:PORT")
    /// Admits a node.
    static let admit = NextStep(purpose: "admit one", command: "mesh ca token create --node NAME, on the CA's node")
    /// Shows how far the agent has got.
    static let look = NextStep(purpose: "see how far the agent is", command: "mesh status")
}
