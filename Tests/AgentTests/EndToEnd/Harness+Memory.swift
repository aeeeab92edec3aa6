import Foundation

/// Memory of an agent as a test sees it from outside.
enum Memory {
    /// Whether an agent's resident memory says something about the agent. A sanitizer's shadow, its red zones and the
    /// freed blocks that it keeps to find late uses are not the agent's (MESH_SANITIZED=1, set by scripts/test).
    static let tells = ProcessInfo.processInfo.environment["MESH_SANITIZED"] != "1"
}

/// Throws if memory that is known to be the agent's grew by `limit` bytes or more.
func demandGrowth(_ bytes: Int, below limit: Int, _ whose: @autoclosure () -> String = "it", line: Int = #line) throws {
    guard Memory.tells else { return }
    try demand(bytes < limit, "\(whose()) grew by \(bytes) bytes, allowed are \(limit)", line: line)
}
