// swift-tools-version: 6.2
import PackageDescription

// Measurements of single rooms, in process. README.md says what they mean and how they are run.

let package = Package(
    name: "conduit-mesh-benchmarks",
    dependencies: [.package(name: "conduit-mesh", path: "..")],
    targets: [
        // What mutual TLS costs with OpenSSL alone, to compare ours with.
        .target(name: "BareTLS", linkerSettings: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]),
        .target(name: "HeapUse"),
        .executableTarget(
            name: "Microbench",
            dependencies: [.product(name: "MeshProtocols", package: "conduit-mesh"), "BareTLS", "HeapUse"],
            swiftSettings: [
                .swiftLanguageMode(.v6),
                .enableUpcomingFeature("ExistentialAny"),
                .enableUpcomingFeature("MemberImportVisibility"),
                .treatAllWarnings(as: .error),
            ]),
    ]
)
