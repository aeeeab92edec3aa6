import Directory

/// Look-ups in an agent's copy of the directory.
enum SnapshotBenchmarks {
    static var all: [Benchmark] {
        [100, 10_000, 100_000].map { services in
            Benchmark("directory.lookup.\(services)", "the instances of one of \(services) services", batch: 40_000) {
                lookUp(services)
            }
        } + [
            Benchmark(
                "directory.apply.10000", "a change of one of 10,000 services taken in, while a reader has a copy",
                batch: 1_000
            ) {
                apply(10_000)
            }
        ]
    }

    /// Every service on one node, ten services a node.
    static func snapshot(services: Int) -> DirectorySnapshot {
        let nodes = (0..<services / 10).map { node($0) }
        let instances = (0..<services).map { instance($0) }
        return DirectorySnapshot(epoch: "bench", revision: 1, nodes: nodes, instances: instances)
    }

    static func node(_ number: Int) -> Node {
        Node(
            name: "node-\(number)", addresses: ["10.0.\(number / 250).\(number % 250):7400"],
            bootID: "0123456789abcdef0123456789abcdef", since: 0)
    }

    static func instance(_ number: Int, health: Health = .passing) -> Instance {
        Instance(service: "service-\(number)", node: "node-\(number / 10)", tags: ["blue"], health: health)
    }

    private static func lookUp(_ services: Int) -> (Int) -> Int {
        let snapshot = snapshot(services: services)
        let names = (0..<1_000).map { "service-\($0 * services / 1_000)" }
        return { count in
            var found = 0
            for number in 0..<count {
                for instance in snapshot.instances(of: names[number % 1_000]) where instance.health.isUsable {
                    found += 1
                }
            }
            require(found == count, "\(found) instances in \(count) look-ups")
            return found
        }
    }

    private static func apply(_ services: Int) -> (Int) -> Int {
        var snapshot = snapshot(services: services)
        return { count in
            for number in 0..<count {
                let copy = snapshot
                let changed = instance(number % services, health: number / services % 2 == 0 ? .critical : .passing)
                snapshot.apply(DirectoryChange(revision: copy.revision + 1, events: [.instance(changed)]))
                require(copy.revision + 1 == snapshot.revision, "a change was not taken in")
            }
            return Int(snapshot.revision)
        }
    }
}
