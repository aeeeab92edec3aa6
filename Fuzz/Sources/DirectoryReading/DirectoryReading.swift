import Directory
import FuzzSupport
import JSON

/// Any bytes as a registration, a watch line and a snapshot: refused, or read back the same.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: data, count: size))
    guard let json = try? JSONReader.parse(bytes) else { return 0 }
    if let registration = try? Registration(json: json) {
        let again = require(try? Registration(json: registration.json), "the registration can't be read back")
        require(again == registration && again.hash == registration.hash, "another registration is read back")
        let operation = try? DirectoryOperation(method: "PUT", path: ["nodes", registration.node], body: bytes)
        require(operation == .register(registration), "the request says something else")
        let now = DirectoryTime(monotonic: 0, unix: 0)
        var state = DirectoryState(restored: RestoredDirectory(epoch: "e"), now: now)
        var reader = state.snapshot
        let change = state.apply(.register(registration, submittedHash: registration.hash), at: now).change
        if let change { reader.apply(change) }
        require(reader == state.snapshot, "the events do not say what changed")
    }
    if let line = try? WatchLine(json: json) {
        require((try? WatchLine(json: line.json)) == line, "another line is read back")
    }
    if var snapshot = try? DirectorySnapshot(json: json) {
        require((try? DirectorySnapshot(json: snapshot.json)) == snapshot, "another snapshot is read back")
        snapshot.apply(DirectoryChange(revision: .max, events: snapshot.nodes.map { .nodeRemoved($0.name) }))
        require(snapshot.nodeCount == 0, "a node stayed")
    }
    return 0
}
