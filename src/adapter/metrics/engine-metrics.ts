/** Metrics of what replicates and stores: Raft, the log's disk, the network between nodes, the stores. */
import type { NetworkCounters } from '../../platform/index.ts';
import { histogram, labelled, type MetricDeclaration, type Sample, single } from './declaration.ts';

const SECONDS = 1 / 1000;
const LANES = ['control', 'bulk', 'forward'] as const;

/** One sample a lane and direction. */
const ofLanes = (network: NetworkCounters, what: 'Count' | 'Bytes'): Sample[] =>
  LANES.flatMap((lane): Sample[] => [
    [[lane, 'sent'], network.lanes[lane][`sent${what}`]],
    [[lane, 'received'], network.lanes[lane][`received${what}`]],
  ]);

const ofStreams = (network: NetworkCounters, what: 'Count' | 'Bytes'): Sample[] =>
  [...network.streams].flatMap(([kind, traffic]): Sample[] => [
    [[kind, 'sent'], traffic[`sent${what}`]],
    [[kind, 'received'], traffic[`received${what}`]],
  ]);

/** Kind of the streams that carry copies of groups. */
const SNAPSHOT = 'snapshot';

const RAFT: readonly MetricDeclaration[] = [
  single(
    'counter',
    'kvorum_raft_elections_started_total',
    'Elections that replicas here stood in',
    ({ engine }) => engine.electionsStarted,
  ),
  single('counter', 'kvorum_raft_elections_won_total', 'Those that they won', ({ engine }) => engine.electionsWon),
  single(
    'counter',
    'kvorum_raft_leader_changes_total',
    'Times that a replica here followed another leader than before; each node counts its own replicas',
    ({ engine }) => engine.leaderChanges,
  ),
  labelled(
    'counter',
    'kvorum_raft_proposals_total',
    'Proposals by outcome: applied, refused (certainly in no log), unknown',
    ['outcome'],
    ({ engine }) => [
      [['applied'], engine.proposalsApplied],
      [['refused'], engine.proposalsRefused],
      [['unknown'], engine.proposalsUnknown],
    ],
  ),
  histogram('kvorum_raft_append_entries', 'Entries in each append message that was sent', [], 1, ({ engine }) => [
    [[], engine.appendEntries],
  ]),
  labelled(
    'counter',
    'kvorum_raft_snapshots_total',
    'Snapshots by what became of them: sent, installed, failed (in either direction)',
    ['result'],
    ({ engine }) => [
      [['sent'], engine.snapshotsSent],
      [['installed'], engine.snapshotsInstalled],
      [['failed'], engine.snapshotsFailed],
    ],
  ),
  labelled('counter', 'kvorum_raft_snapshot_bytes_total', 'Bytes of snapshots', ['direction'], ({ network }) => [
    [['sent'], network.streams.get(SNAPSHOT)?.sentBytes ?? 0],
    [['received'], network.streams.get(SNAPSHOT)?.receivedBytes ?? 0],
  ]),
  single(
    'counter',
    'kvorum_raft_malformed_frames_total',
    'Frames that could not be read',
    ({ engine }) => engine.malformedFrames,
  ),
  single(
    'counter',
    'kvorum_suspensions_total',
    'Times that the machine was suspended, or its wall clock set ahead, so that leases were given up',
    ({ engine }) => engine.suspensions,
  ),
  single(
    'counter',
    'kvorum_event_loop_stalls_total',
    'Times that the event loop stood still for half an election timeout or longer',
    ({ engine }) => engine.stalls,
  ),
  labelled(
    'counter',
    'kvorum_event_loop_held_turns_total',
    'Turns of the event loop that took more than 50 ms of processor time, by what took the most of them; with loopWatch only',
    ['work'],
    ({ heldTurns }) => [...(heldTurns ?? [])].map(([name, { turns }]) => [[name], turns]),
  ),
  labelled(
    'counter',
    'kvorum_event_loop_held_seconds_total',
    'Processor time of these turns',
    ['work'],
    ({ heldTurns }) => [...(heldTurns ?? [])].map(([name, { processorMs }]) => [[name], processorMs / 1_000]),
  ),
  labelled(
    'gauge',
    'kvorum_event_loop_held_longest_seconds',
    'Processor time of the longest of these turns since the start',
    ['work'],
    ({ heldTurns }) => [...(heldTurns ?? [])].map(([name, { longestMs }]) => [[name], longestMs / 1_000]),
  ),
];

const APPLY: readonly MetricDeclaration[] = [
  single('counter', 'kvorum_apply_entries_total', 'Entries applied', ({ engine }) => engine.appliedEntries),
  single('counter', 'kvorum_apply_bytes_total', 'Bytes of entries applied', ({ engine }) => engine.appliedBytes),
  histogram('kvorum_apply_duration_seconds', 'Applying one batch of entries', [], SECONDS, ({ engine }) => [
    [[], engine.applyMs],
  ]),
  single(
    'counter',
    'kvorum_apply_stalls_total',
    'Times that applying waited for the store',
    ({ engine }) => engine.applyStalls,
  ),
];

const LOG: readonly MetricDeclaration[] = [
  histogram('kvorum_log_fsync_duration_seconds', 'One synced write of the log', [], SECONDS, ({ logDisk }) => [
    [[], logDisk.writeMs],
  ]),
  single(
    'counter',
    'kvorum_log_written_bytes_total',
    'Bytes written to the log',
    ({ logDisk }) => logDisk.writtenBytes,
  ),
  single(
    'counter',
    'kvorum_log_write_failures_total',
    'Writes of the log that failed',
    ({ logDisk }) => logDisk.failures,
  ),
  single('gauge', 'kvorum_log_writable', 'Whether the newest write of the log succeeded', ({ logDisk }) =>
    Number(logDisk.isWritable),
  ),
];

const NETWORK: readonly MetricDeclaration[] = [
  labelled('counter', 'kvorum_network_frames_total', 'Frames between nodes', ['lane', 'direction'], ({ network }) =>
    ofLanes(network, 'Count'),
  ),
  labelled(
    'counter',
    'kvorum_network_bytes_total',
    'Bytes of frames between nodes',
    ['lane', 'direction'],
    ({ network }) => ofLanes(network, 'Bytes'),
  ),
  labelled(
    'counter',
    'kvorum_network_dropped_frames_total',
    'Frames that no connection took',
    ['lane'],
    ({ network }) => LANES.map((lane) => [[lane], network.lanes[lane].failures]),
  ),
  labelled('counter', 'kvorum_network_streams_total', 'Streams between nodes', ['kind', 'direction'], ({ network }) =>
    ofStreams(network, 'Count'),
  ),
  labelled(
    'counter',
    'kvorum_network_stream_bytes_total',
    'Bytes of streams between nodes',
    ['kind', 'direction'],
    ({ network }) => ofStreams(network, 'Bytes'),
  ),
  labelled('counter', 'kvorum_network_stream_failures_total', 'Streams from here that broke', ['kind'], ({ network }) =>
    [...network.streams].map(([kind, { failures }]) => [[kind], failures]),
  ),
  single(
    'counter',
    'kvorum_network_lost_peers_total',
    'Connections to other nodes that were lost',
    ({ network }) => network.lostPeers,
  ),
];

const STORE: readonly MetricDeclaration[] = [
  labelled(
    'counter',
    'kvorum_store_cache_lookups_total',
    'Newest versions that were looked for below the buffer of applied writes',
    ['result'],
    ({ store }) => [
      [['hit'], store.cacheHits],
      [['miss'], store.cacheMisses],
    ],
  ),
  single(
    'counter',
    'kvorum_store_point_reads_total',
    'Rows that databases were asked for',
    ({ store }) => store.pointReads,
  ),
  single('counter', 'kvorum_store_iterators_total', 'Iterators that databases opened', ({ store }) => store.iterators),
  histogram(
    'kvorum_store_flush_duration_seconds',
    'One synced batch: flushes and collected garbage',
    [],
    SECONDS,
    ({ store }) => [[[], store.batchMs]],
  ),
  single('counter', 'kvorum_store_write_failures_total', 'Batches that failed', ({ store }) => store.failures),
  labelled(
    'gauge',
    'kvorum_disk_free_bytes',
    'Free on the data disk, where it can be asked',
    [],
    ({ diskFreeBytes }) => (diskFreeBytes === undefined ? [] : [[[], diskFreeBytes]]),
  ),
  single(
    'gauge',
    'kvorum_disk_reserve_bytes',
    'Below this much free space writes are refused',
    ({ diskReserveBytes }) => diskReserveBytes,
  ),
  single(
    'gauge',
    'kvorum_store_overhang_limit_bytes',
    'Versions that are not the newest of their key: what there may be on this node',
    ({ overhangLimitBytes }) => overhangLimitBytes,
  ),
  single('gauge', 'kvorum_store_databases', 'Databases that are open', ({ store }) => store.levels.size),
  single(
    'gauge',
    'kvorum_store_memory_bytes',
    'Write buffers and blocks of databases, as they say',
    ({ storeMemoryBytes }) => storeMemoryBytes,
  ),
  single(
    'gauge',
    'kvorum_memory_limit_bytes',
    'Memory that the process stays within, about; what it takes is kvorum_memory_own_bytes',
    ({ memoryLimitBytes }) => memoryLimitBytes,
  ),
  single(
    'gauge',
    'kvorum_memory_own_bytes',
    'Memory that the process takes; process_resident_memory_bytes has pages of mapped files as well, which the system takes back when it needs them',
    ({ ownMemoryBytes }) => ownMemoryBytes,
  ),
  labelled(
    'gauge',
    'kvorum_encryption_settled',
    'Whether all that is stored is encrypted under the newest key; no value where nothing is to be encrypted',
    [],
    ({ encryption }) => (encryption === undefined ? [] : [[[], Number(encryption.isSettled)]]),
  ),
  labelled('gauge', 'kvorum_store_files', 'Table files', ['level'], ({ storeLevels }) =>
    storeLevels.map(({ level, files }) => [[String(level)], files]),
  ),
  labelled(
    'gauge',
    'kvorum_store_bytes',
    'Bytes of table files, to the MiB of each database',
    ['level'],
    ({ storeLevels }) => storeLevels.map(({ level, bytes }) => [[String(level)], bytes]),
  ),
  single(
    'counter',
    'kvorum_store_compaction_seconds_total',
    'Time in compactions, to the second of each database',
    ({ storeLevels }) => storeLevels.reduce((sum, { compactionSeconds }) => sum + compactionSeconds, 0),
  ),
  labelled(
    'counter',
    'kvorum_store_compaction_bytes_total',
    'Bytes that compactions moved, to the MiB of each database',
    ['direction'],
    ({ storeLevels }) => [
      [['read'], storeLevels.reduce((sum, { compactionReadBytes }) => sum + compactionReadBytes, 0)],
      [['written'], storeLevels.reduce((sum, { compactionWrittenBytes }) => sum + compactionWrittenBytes, 0)],
    ],
  ),
];

export const ENGINE_METRICS: readonly MetricDeclaration[] = [...RAFT, ...APPLY, ...LOG, ...NETWORK, ...STORE];
