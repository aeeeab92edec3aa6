/// One operation that is measured again and again.
struct Benchmark {
    /// Its name: room, operation and size, as in `websocket.read.64`.
    let name: String
    /// What one operation is, in words.
    let what: String
    /// How many operations take some ten milliseconds: what is run before the clock is looked at again, and what instruction
    /// counts are taken over.
    let batch: Int
    /// Prepares everything and returns what performs `count` operations. It returns a number that depends on all of them, so
    /// that none can be left out, and ends the program when an operation does not do what it should.
    let prepare: () throws -> (_ count: Int) throws -> Int

    init(_ name: String, _ what: String, batch: Int, prepare: @escaping () throws -> (Int) throws -> Int) {
        self.name = name
        self.what = what
        self.batch = batch
        self.prepare = prepare
    }

    /// Every one, in the order in which they are printed.
    static var all: [Benchmark] {
        WebSocketBenchmarks.all + LinkBenchmarks.all + JSONBenchmarks.all + HTTPBenchmarks.all + PolicyBenchmarks.all
            + SnapshotBenchmarks.all
    }
}

/// Stops the program when a measured operation gave a wrong answer: its time would mean nothing.
func require(_ condition: Bool, _ what: @autoclosure () -> String) {
    guard !condition else { return }
    Output.fail("wrong answer: \(what())")
}
