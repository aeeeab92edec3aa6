import Agent
import JSON

/// Any text as a configuration file: either problems that have a place and words, or a configuration that describes
/// itself, differs from itself in nothing, and keeps the promises of its own checks.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = Array(UnsafeRawBufferPointer(start: start, count: count))
    let loaded: EffectiveConfiguration
    do {
        loaded = try ConfigurationLoader.load(bytes, name: "/etc/mesh/mesh.json")
    } catch {
        precondition(!error.issues.isEmpty)
        for issue in error.issues {
            precondition(!issue.message.isEmpty)
            if case .file(_, let line, let column)? = issue.origin { precondition(line >= 1 && column >= 1) }
        }
        precondition(error.json["errors"]?.array?.count == error.issues.count)
        return 0
    }
    let configuration = loaded.configuration
    precondition(configuration.changes(to: configuration).isEmpty)
    precondition((1...256).contains(configuration.workers))
    precondition(configuration.listen.metrics?.isLoopback ?? true)
    precondition(configuration.upstreams.allSatisfy { $0.listen.isLoopback || $0.allowNonLoopback })
    precondition(
        configuration.services.allSatisfy { $0.target.isTLS || $0.target.address.isLoopback || $0.allowNonLoopback })
    precondition(Set(configuration.services.map(\.name)).count == configuration.services.count)
    precondition(configuration.streams.window <= configuration.limits.receiveBudget)
    let report = loaded.describeJSON()
    precondition((try? JSONReader.parse(report.serialized())) == report)
    precondition(!loaded.describe().isEmpty)
    return 0
}
