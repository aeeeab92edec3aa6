import HTTP

/// Methods that are not relayed.
enum MethodRules {
    /// CONNECT would ask for a tunnel, TRACE would show what was added on the way, secrets included.
    static func check(_ head: HTTPRequestHead) throws(EdgeRefusal) {
        if head.method == .connect || head.method == .trace {
            throw EdgeRefusal(
                .methodNotAllowed, status: 405, "\(head.method) is not relayed",
                headers: ["Allow": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"])
        }
    }
}
