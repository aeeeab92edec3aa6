/// How an operator gets a node its next certificate, for hints.
public enum NewCertificate {
    /// By a token of the mesh's CA, which is the usual way; or by hand, where no agent serves a CA.
    public static func commands(_ node: String = "NODE") -> String {
        "mesh ca token create --node \(node) and mesh join, or mesh ca issue \(node)"
    }
}
