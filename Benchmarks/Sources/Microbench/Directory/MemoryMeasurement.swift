import Directory
import HeapUse

/// Heap that a copy of the directory takes.
enum MemoryMeasurement {
    /// Prints the bytes of a snapshot of `services` services, ten a node.
    static func run(services: Int) {
        let before = heap_bytes_in_use()
        let snapshot = SnapshotBenchmarks.snapshot(services: services)
        let bytes = Int(heap_bytes_in_use() - before)
        require(snapshot.serviceCount == services, "\(snapshot.serviceCount) services")
        Output.line(
            "memory: a snapshot of \(services) services on \(snapshot.nodeCount) nodes takes \(bytes / 1_024) KiB, "
                + "\(bytes / services) bytes a service")
    }
}
