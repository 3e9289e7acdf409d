/** Metrics of what serves: clients' commands and calls, the way to leaders, reads, transactions, timestamps, the directory. */
import { TXN_OUTCOMES, TXN_WAYS } from '../../kv/index.ts';
import { histogram, labelled, type MetricDeclaration, type Sample, single } from './declaration.ts';

const SECONDS = 1 / 1000;

/** Names in code are in camel case, values of labels in snake case. */
const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

const samplesOf = (counts: Readonly<Record<string, number>>): Sample[] =>
  Object.entries(counts).map(([name, value]) => [[snake(name)], value]);

const NODE: readonly MetricDeclaration[] = [
  labelled('gauge', 'kvorum_build_info', 'Always 1', ['version'], ({ version }) => [[[version], 1]]),
  single('gauge', 'kvorum_ready', 'Whether /readyz says yes', ({ isReady }) => Number(isReady)),
];

const REDIS: readonly MetricDeclaration[] = [
  labelled('counter', 'kvorum_redis_commands_total', 'Commands that were answered', ['command'], ({ redis }) =>
    redis.commands.map(({ name, counters }) => [[name], counters.calls]),
  ),
  labelled(
    'counter',
    'kvorum_redis_command_errors_total',
    'Commands that were answered with an error',
    ['command'],
    ({ redis }) => redis.commands.map(({ name, counters }) => [[name], counters.errors]),
  ),
  histogram(
    'kvorum_redis_command_duration_seconds',
    'From the reading of a command to the writing of its reply; in a pipeline the slower ones before it count',
    ['command'],
    SECONDS,
    ({ redis }) => redis.commands.map(({ name, counters }) => [[name], counters.latencyMs]),
  ),
  single(
    'counter',
    'kvorum_redis_error_replies_total',
    'Error replies, unknown commands included',
    ({ redis }) => redis.stats.errorReplies,
  ),
  single('gauge', 'kvorum_redis_connections', 'Clients', ({ redis }) => redis.connections),
  single(
    'counter',
    'kvorum_redis_connections_received_total',
    'Clients that came',
    ({ redis }) => redis.stats.connectionsReceived,
  ),
  single(
    'counter',
    'kvorum_redis_connections_rejected_total',
    'Clients beyond the limit',
    ({ redis }) => redis.stats.connectionsRejected,
  ),
  labelled('counter', 'kvorum_redis_bytes_total', 'Bytes of clients', ['direction'], ({ redis }) => [
    [['received'], redis.stats.inputBytes],
    [['sent'], redis.stats.outputBytes],
  ]),
];

const DYNAMODB: readonly MetricDeclaration[] = [
  labelled(
    'counter',
    'kvorum_dynamodb_requests_total',
    'Requests that name an operation',
    ['operation'],
    ({ dynamodb }) => (dynamodb?.operations ?? []).map(({ operation, calls }) => [[operation], calls]),
  ),
  histogram(
    'kvorum_dynamodb_request_duration_seconds',
    'From the arrival of the head of a request to the handing over of its answer',
    ['operation'],
    SECONDS,
    ({ dynamodb }) => (dynamodb?.operations ?? []).map(({ operation, latencyMs }) => [[operation], latencyMs]),
  ),
  labelled(
    'counter',
    'kvorum_dynamodb_exceptions_total',
    'Requests that were answered with an exception',
    ['exception'],
    ({ dynamodb }) => [...(dynamodb?.exceptions ?? [])].map(([name, count]) => [[name], count]),
  ),
  single(
    'gauge',
    'kvorum_dynamodb_connections',
    'Connections of clients',
    ({ dynamodb }) => dynamodb?.connections ?? 0,
  ),
  labelled('counter', 'kvorum_dynamodb_bytes_total', 'Bytes of bodies', ['direction'], ({ dynamodb }) => [
    [['received'], dynamodb?.receivedBytes ?? 0],
    [['sent'], dynamodb?.sentBytes ?? 0],
  ]),
];

const MESSAGES: readonly MetricDeclaration[] = [
  labelled(
    'counter',
    'kvorum_redis_messages_total',
    'Messages between clients: published here; delivered to clients here, each counted; sent to other nodes; dropped because too many waited for one',
    ['step'],
    ({ redis }) => [
      [['published'], redis.messages.publishedMessages],
      [['delivered'], redis.messages.deliveredMessages],
      [['sent'], redis.messages.sentMessages],
      [['dropped'], redis.messages.droppedMessages],
    ],
  ),
  single(
    'gauge',
    'kvorum_redis_subscriptions',
    'Channels and patterns that clients here listen to, each client counted',
    ({ redis }) => redis.messages.subscriptions,
  ),
  labelled(
    'gauge',
    'kvorum_redis_topics',
    'Channels, patterns and channels of shards that anybody in the cluster listens to',
    ['scope'],
    ({ redis }) => samplesOf(redis.messages.topics),
  ),
  single(
    'gauge',
    'kvorum_redis_message_backlog_bytes',
    'Messages that wait for other nodes',
    ({ redis }) => redis.messages.backlogBytes,
  ),
];

const GRPC: readonly MetricDeclaration[] = [
  labelled('counter', 'kvorum_grpc_calls_total', 'Calls of services that ended', ['method', 'code'], ({ grpc }) =>
    [...grpc.methods].flatMap(([method, { ended }]) =>
      [...ended].map(([code, count]): Sample => [[method, code], count]),
    ),
  ),
  histogram('kvorum_grpc_call_duration_seconds', 'Calls of services, to their end', ['method'], SECONDS, ({ grpc }) =>
    [...grpc.methods].map(([method, { latencyMs }]) => [[method], latencyMs]),
  ),
];

const PROXY: readonly MetricDeclaration[] = [
  labelled(
    'counter',
    'kvorum_proxy_forwards_total',
    'Requests that went to a leader, by how they ended; refused: by an answer that says why',
    ['outcome'],
    ({ proxy }) => samplesOf(proxy.counters.outcomes),
  ),
  single(
    'gauge',
    'kvorum_proxy_pending',
    'Requests on their way to a leader, or waiting for one',
    ({ proxy }) => proxy.pending,
  ),
  single(
    'counter',
    'kvorum_proxy_messages_total',
    'Messages that requests took',
    ({ proxy }) => proxy.counters.messages,
  ),
  single(
    'counter',
    'kvorum_proxy_repeats_total',
    'Messages beyond the first of a request',
    ({ proxy }) => proxy.counters.repeats,
  ),
  histogram(
    'kvorum_proxy_messages_per_failure',
    'Messages that a request took which got no answer',
    [],
    1,
    ({ proxy }) => [[[], proxy.counters.messagesOfFailed]],
  ),
  labelled(
    'counter',
    'kvorum_proxy_received_total',
    'Requests of other nodes, by what was done with them; too_many_hops: they had crossed a node already',
    ['result'],
    ({ proxy }) => samplesOf(proxy.counters.received),
  ),
  labelled(
    'gauge',
    'kvorum_proxy_breakers',
    'Circuit breakers, one a group that requests went to',
    ['state'],
    ({ proxy }) => [
      [['closed'], proxy.breakers - proxy.openBreakers],
      [['open'], proxy.openBreakers],
    ],
  ),
  single(
    'counter',
    'kvorum_proxy_breaker_opens_total',
    'Times that a breaker opened',
    ({ proxy }) => proxy.breakerOpens,
  ),
  single(
    'counter',
    'kvorum_proxy_probes_total',
    'Requests that were sent to try an open breaker',
    ({ proxy }) => proxy.probes,
  ),
  single(
    'counter',
    'kvorum_proxy_held_back_total',
    'Times that a request waited for an open breaker',
    ({ proxy }) => proxy.heldBack,
  ),
  single(
    'counter',
    'kvorum_proxy_over_budget_total',
    'Times that a repetition waited for the budget',
    ({ proxy }) => proxy.overBudget,
  ),
];

const READS: readonly MetricDeclaration[] = [
  labelled(
    'counter',
    'kvorum_reads_total',
    'Reads that name their consistency, by who answered; commands on a leader are not among them',
    ['consistency', 'by'],
    ({ reads }) =>
      Object.entries(reads.counters.kinds).flatMap(([kind, { replica, leader }]): Sample[] => [
        [[kind, 'replica'], replica],
        [[kind, 'leader'], leader],
      ]),
  ),
  histogram('kvorum_read_staleness_seconds', 'How old answers of replicas here may be', [], SECONDS, ({ reads }) => [
    [[], reads.counters.stalenessMs],
  ]),
  single(
    'counter',
    'kvorum_read_lock_redirects_total',
    'Reads that a lock sent on to the leader',
    ({ reads }) => reads.lockRedirects,
  ),
  single(
    'counter',
    'kvorum_read_index_rounds_total',
    'Questions to leaders how far a replica has to be',
    ({ reads }) => reads.indexRounds,
  ),
  single(
    'counter',
    'kvorum_read_point_rounds_total',
    'Questions to leaders how far they are committed, for linearizable reads here',
    ({ reads }) => reads.pointRounds,
  ),
  single(
    'counter',
    'kvorum_read_point_reads_total',
    'Linearizable reads that replicas here answered',
    ({ reads }) => reads.pointReads,
  ),
];

const TXN: readonly MetricDeclaration[] = [
  labelled(
    'counter',
    'kvorum_txn_attempts_total',
    'Attempts of transactions by way and outcome; what lost is begun again, so these are not transactions',
    ['way', 'outcome'],
    ({ txn }) =>
      TXN_WAYS.flatMap((way) =>
        TXN_OUTCOMES.map((outcome): Sample => [[snake(way), snake(outcome)], txn.attempts[way][outcome]]),
      ),
  ),
  histogram('kvorum_txn_duration_seconds', 'From the plan of an attempt to its outcome', ['way'], SECONDS, ({ txn }) =>
    TXN_WAYS.map((way) => [[snake(way)], txn.attemptMs[way]]),
  ),
  single(
    'counter',
    'kvorum_txn_resolver_questions_total',
    'Fates of transactions that were asked for',
    ({ txn }) => txn.resolverQuestions,
  ),
  labelled('counter', 'kvorum_txn_resolver_answers_total', 'What came of it', ['answer'], ({ txn }) => [
    [['decided'], txn.resolverDecided],
    [['open'], txn.resolverOpen],
    [['failed'], txn.resolverFailures],
  ]),
];

const TIME: readonly MetricDeclaration[] = [
  single(
    'gauge',
    'kvorum_clock_offset_seconds',
    'The wall clock less the time that the node goes by, which is that of most clocks',
    ({ clock }) => clock.offsetMs / 1000,
  ),
  single(
    'gauge',
    'kvorum_clock_offset_error_seconds',
    'Within what the offset of the clock is right',
    ({ clock }) => clock.errorMs / 1000,
  ),
  single(
    'gauge',
    'kvorum_clock_off',
    'Whether the clock is off those of most nodes: the node goes by theirs and leaves leadership to them',
    ({ clock }) => Number(clock.isOff),
  ),
  single('gauge', 'kvorum_clock_peers', 'Nodes that the clock is compared with', ({ clock }) => clock.peers.length),
  single(
    'gauge',
    'kvorum_clock_lead_seconds',
    'How far the newest timestamp of a group that is led here leads the wall clock, at most; 0 when none does',
    ({ clockLeadMs }) => clockLeadMs / 1000,
  ),
  single('counter', 'kvorum_oracle_requests_total', 'Requests to the oracle', ({ oracle }) => oracle.requests),
  single(
    'counter',
    'kvorum_oracle_timestamps_total',
    'Timestamps that the oracle granted',
    ({ oracle }) => oracle.timestamps,
  ),
  single(
    'counter',
    'kvorum_oracle_failures_total',
    'Requests to the oracle that failed',
    ({ oracle }) => oracle.failures,
  ),
  single(
    'counter',
    'kvorum_oracle_below_local_total',
    'Grants that lay below the time of this node',
    ({ oracle }) => oracle.belowLocal,
  ),
  single(
    'counter',
    'kvorum_oracle_inversions_total',
    'Grants that were not above an earlier answer',
    ({ oracle }) => oracle.inversions,
  ),
  single(
    'counter',
    'kvorum_oracle_shadow_samples_total',
    'Timestamps of the measured group',
    ({ shadow }) => shadow.samples,
  ),
  single(
    'counter',
    'kvorum_oracle_shadow_below_local_total',
    'Samples that lay below the time of this node',
    ({ shadow }) => shadow.belowLocal,
  ),
  single(
    'gauge',
    'kvorum_oracle_shadow_behind_seconds',
    'Largest distance of a sample below the time of this node',
    ({ shadow }) => shadow.maxBehindMs / 1000,
  ),
  single(
    'counter',
    'kvorum_oracle_shadow_inversions_total',
    'Samples that were not above an earlier one',
    ({ shadow }) => shadow.inversions,
  ),
];

const MODES = ['local', 'stream', 'poll', 'waiting'] as const;

const ROUTES: readonly MetricDeclaration[] = [
  single('gauge', 'kvorum_routes_version', 'Version of the directory of ranges', ({ routes }) => routes.version),
  single('gauge', 'kvorum_routes', 'Ranges in the directory', ({ routes }) => routes.count),
  single(
    'counter',
    'kvorum_routes_lookups_total',
    'Keys that the directory was asked for',
    ({ routes }) => routes.lookups,
  ),
  labelled(
    'gauge',
    'kvorum_routes_watch',
    'How this node watches the directory: 1 for the present way',
    ['mode'],
    ({ watch }) => MODES.map((mode) => [[mode], Number(watch.mode === mode)]),
  ),
  single(
    'gauge',
    'kvorum_routes_watch_lag_versions',
    'Versions between the directory here and the newest heard of',
    ({ watch }) => Math.max(0, (watch.lastBeat?.version ?? 0) - watch.version),
  ),
  single(
    'gauge',
    'kvorum_routes_watch_silence_seconds',
    "Since the directory's leader was heard of last; 0 where it is led",
    ({ watch }) => (watch.mode === 'local' ? 0 : (watch.lastBeat?.agoMs ?? 0) / 1000),
  ),
  single(
    'counter',
    'kvorum_routes_watch_resets_total',
    'Directories that were taken as a whole',
    ({ watch }) => watch.resets,
  ),
  single('gauge', 'kvorum_catalog_leader', 'Whether this node leads the catalog', ({ jobs }) =>
    Number(jobs !== undefined),
  ),
  labelled('gauge', 'kvorum_jobs', 'Where the catalog is led: moves that are not finished', ['phase'], ({ jobs }) => {
    const phases = new Map<string, number>();
    for (const { phase } of jobs ?? []) phases.set(phase, (phases.get(phase) ?? 0) + 1);
    return [...phases].map(([phase, count]) => [[phase.toLowerCase()], count]);
  }),
  single(
    'gauge',
    'kvorum_jobs_unfinished',
    'Where the catalog is led: moves that are not finished, all together',
    ({ jobs }) => jobs?.length ?? 0,
  ),
  single(
    'gauge',
    'kvorum_jobs_oldest_seconds',
    'Where the catalog is led: age of the oldest unfinished move',
    ({ jobs, nowMs }) => {
      const begun = (jobs ?? []).map(({ createdMs }) => createdMs);
      return begun.length === 0 ? 0 : Math.max(0, nowMs - Math.min(...begun)) / 1000;
    },
  ),
];

const BACKUPS: readonly MetricDeclaration[] = [
  single(
    'gauge',
    'kvorum_backup_age_seconds',
    'Where the catalog is led: since the last good backup was begun; while none was made and some are scheduled, since 1970',
    ({ backups, nowMs }) => {
      if (backups === undefined || (backups.lastMs === 0 && backups.everyMs === 0)) return 0;
      return Math.max(0, nowMs - backups.lastMs) / 1000;
    },
  ),
  single(
    'gauge',
    'kvorum_backup_interval_seconds',
    'Where the catalog is led: between scheduled backups, 0 for none',
    ({ backups }) => (backups?.everyMs ?? 0) / 1000,
  ),
  single('gauge', 'kvorum_backup_running', 'Where the catalog is led: whether a backup is being made', ({ backups }) =>
    Number(backups?.isRunning ?? false),
  ),
  single(
    'gauge',
    'kvorum_backup_failing',
    'Where the catalog is led: whether the newest backup was given up',
    ({ backups }) => Number(backups?.isFailing ?? false),
  ),
  single(
    'gauge',
    'kvorum_backup_archive_interval_seconds',
    'Where the catalog is led: between steps of the archive of changes, 0 while it is off',
    ({ backups }) => (backups?.archive?.everyMs ?? 0) / 1000,
  ),
  single(
    'gauge',
    'kvorum_backup_archive_age_seconds',
    'Where the catalog is led: since the last moment that the archive of changes leads to, 0 while it is off',
    ({ backups, nowMs }) => {
      if (backups?.archive === undefined) return 0;
      return Math.max(0, nowMs - backups.archive.untilMs) / 1000;
    },
  ),
  single(
    'gauge',
    'kvorum_backup_window_seconds',
    'Where the catalog is led: length of the window of moments that can be restored, 0 while none can, and while the archive of changes is off',
    ({ backups }) => {
      const { sinceMs = 0, untilMs = 0 } = backups?.archive ?? {};
      return sinceMs === 0 ? 0 : Math.max(0, untilMs - sinceMs) / 1000;
    },
  ),
  single(
    'gauge',
    'kvorum_backup_archive_failures',
    'Where the catalog is led: attempts at the next step of the archive of changes that failed, 0 when the last one was written',
    ({ backups }) => backups?.archive?.failures ?? 0,
  ),
];

export const SERVICE_METRICS: readonly MetricDeclaration[] = [
  ...NODE,
  ...REDIS,
  ...DYNAMODB,
  ...MESSAGES,
  ...GRPC,
  ...PROXY,
  ...READS,
  ...TXN,
  ...TIME,
  ...ROUTES,
  ...BACKUPS,
];
