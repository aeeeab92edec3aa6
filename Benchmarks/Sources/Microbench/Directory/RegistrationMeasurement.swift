import Directory

/// Durable registrations: so many writers, each sends its next registration when it has the answer to the last.
enum RegistrationMeasurement {
    /// Runs for `seconds` with the directory already holding `nodes` nodes, and prints registrations a second.
    static func run(
        in place: String, writers: Int, nodes: Int, servicesPerNode: Int, seconds: Double
    ) throws {
        let folder = DirectoryBench.folder(in: place)
        defer { DirectoryBench.remove(folder) }
        let directory = try DirectoryBench(folder: folder, nodes: max(nodes, writers), servicesPerNode: servicesPerNode)
        // Prepared, so that the clients' own work is not measured: two contents by turns, each a change for the others.
        let requests = (0..<2).map { turn in
            (0..<writers).map { directory.request(node: $0, services: servicesPerNode, turn: turn + 1) }
        }
        var turns = [Int](repeating: 0, count: writers)
        var samples = Samples()
        var cpu = Samples()
        let commits = directory.commits
        var answers = 0
        for _ in 0..<5 {
            // Writers that have their answer, in order; answers come in the order of the requests.
            var free = Array(0..<writers)
            var waiting: [Int] = []
            var answered = 0
            let start = Clock.wall
            let startCPU = Clock.process
            let end = start + UInt64(seconds * 1e9 / 5)
            func take(_ count: Int) {
                answered += count
                free += waiting.prefix(count)
                waiting.removeFirst(count)
            }
            while Clock.wall < end {
                let sending = free
                free = []
                for writer in sending {
                    waiting.append(writer)
                    turns[writer] += 1
                    try directory.request(requests[turns[writer] % 2][writer])
                }
                take(try directory.turn())
            }
            while !waiting.isEmpty { take(try directory.turn()) }
            answers += answered
            let time = Double(Clock.wall - start) / 1e9
            samples.add(Double(answered) / time)
            cpu.add(Double(Clock.process - startCPU) / 1e3 / Double(answered))
        }
        let syncs = Double(answers) / Double(directory.commits - commits)
        let stored = directory.service.snapshot.nodeCount
        require(stored == max(nodes, writers), "\(stored) nodes are registered")
        Output.line(
            "registrations in \(place): \(writers) writers, \(stored) nodes of \(servicesPerNode) services: "
                + "\(Output.number(samples.median, 0))/s [\(Output.number(samples.least, 0)) - "
                + "\(Output.number(samples.most, 0))], \(Output.number(cpu.median, 1)) µs CPU each, both threads, "
                + "\(Output.number(syncs, 1)) a sync")
    }
}
