/**
 * What INFO shows, section by section: the fields of Redis 7.0 in its order, because tools look for them. What means nothing here is 0, or what a Redis shows
 * that has nothing of the kind. Fields of our own begin with `kvorum_`.
 */
import os from 'node:os';
import type { ClientSession, ServerContext } from '../../command/index.ts';
import { SERVER_VERSION } from '../../protocol/index.ts';
import { commandStats, errorStats, latencyStats } from './info-commands.ts';
import { humanBytes, type InfoField } from './info-format.ts';
import { memoryFigures } from './memory-figures.ts';

/** Seconds since 1970 modulo 2^24: Redis' clock of accesses. */
const LRU_SECONDS = 2 ** 24;

const zeros = (...names: readonly string[]): InfoField[] => names.map((name) => [name, 0]);

function server(state: ServerContext, session: ClientSession): InfoField[] {
  const uptimeSeconds = Math.floor((state.clock.monotonicMs() - state.startedMs) / 1000);
  return [
    ['redis_version', SERVER_VERSION],
    ['redis_git_sha1', '00000000'],
    ['redis_git_dirty', 0],
    ['redis_build_id', 'kvorum'],
    ['redis_mode', session.isClusterMode ? 'cluster' : 'standalone'],
    ['os', `${os.type()} ${os.release()} ${os.machine()}`],
    ['arch_bits', 64],
    ['monotonic_clock', 'POSIX clock_gettime'],
    ['multiplexing_api', 'epoll'],
    ['atomicvar_api', 'none'],
    ['gcc_version', '0.0.0'],
    ['process_id', process.pid],
    ['process_supervised', 'no'],
    ['run_id', state.runId],
    ['tcp_port', state.port],
    ['server_time_usec', state.clock.nowMs() * 1000],
    ['uptime_in_seconds', uptimeSeconds],
    ['uptime_in_days', Math.floor(uptimeSeconds / 86_400)],
    ['hz', 10],
    ['configured_hz', 10],
    ['lru_clock', Math.floor(state.clock.nowMs() / 1000) % LRU_SECONDS],
    ['executable', process.execPath],
    ['config_file', ''],
    ['io_threads_active', 0],
    ['kvorum_node_id', state.kv.nodeId],
    ['kvorum_node_version', process.version],
  ];
}

function clients(state: ServerContext): InfoField[] {
  let largestInput = 0;
  let largestOutput = 0;
  let blocked = 0;
  for (const client of state.connections.values()) {
    if (client.isPaused || client.isBlocked) blocked++;
    largestInput = Math.max(largestInput, client.queryBufferBytes);
    largestOutput = Math.max(largestOutput, client.unreadReplyBytes);
  }
  return [
    ['connected_clients', state.connections.size],
    ['cluster_connections', 0],
    ['maxclients', state.config.maxClients],
    ['client_recent_max_input_buffer', largestInput],
    ['client_recent_max_output_buffer', largestOutput],
    ['blocked_clients', blocked],
    ['tracking_clients', state.tracking.figures.clients],
    ['clients_in_timeout_table', 0],
  ];
}

function memory(state: ServerContext): InfoField[] {
  const { config } = state;
  const scripts = state.scripts.figures();
  const figures = memoryFigures(state);
  const { usedBytes, residentBytes, peakBytes, startupBytes, heapBytes, heapReservedBytes, bufferBytes, clientBytes } =
    figures;
  const overheadBytes = Math.min(usedBytes, startupBytes + clientBytes);
  const datasetBytes = usedBytes - overheadBytes;
  const percent = (part: number, whole: number) => `${(whole <= 0 ? 0 : (part / whole) * 100).toFixed(2)}%`;
  const both = (name: string, bytes: number): InfoField[] => [
    [name, bytes],
    [`${name}_human`, humanBytes(bytes)],
  ];
  return [
    ...both('used_memory', usedBytes),
    ...both('used_memory_rss', residentBytes),
    ...both('used_memory_peak', peakBytes),
    ['used_memory_peak_perc', percent(usedBytes, peakBytes)],
    ['used_memory_overhead', overheadBytes],
    ['used_memory_startup', startupBytes],
    ['used_memory_dataset', datasetBytes],
    ['used_memory_dataset_perc', percent(datasetBytes, usedBytes - startupBytes)],
    ['allocator_allocated', heapBytes],
    ['allocator_active', heapReservedBytes],
    ['allocator_resident', usedBytes],
    ...both('total_system_memory', os.totalmem()),
    ['used_memory_lua', scripts.scriptMachineBytes],
    ['used_memory_vm_eval', scripts.scriptMachineBytes],
    ['used_memory_lua_human', humanBytes(scripts.scriptMachineBytes)],
    ['used_memory_scripts_eval', scripts.scriptBytes],
    ['number_of_cached_scripts', scripts.scripts],
    ['number_of_functions', scripts.functions],
    ['number_of_libraries', scripts.libraries],
    ['used_memory_vm_functions', scripts.libraryMachineBytes],
    ...both('used_memory_vm_total', scripts.scriptMachineBytes + scripts.libraryMachineBytes),
    ['used_memory_functions', scripts.libraryBytes],
    ...both('used_memory_scripts', scripts.scriptBytes + scripts.libraryBytes),
    ...both('maxmemory', 0),
    ['maxmemory_policy', config.maxmemoryPolicy],
    ['allocator_frag_ratio', (heapReservedBytes / heapBytes).toFixed(2)],
    ['allocator_frag_bytes', heapReservedBytes - heapBytes],
    ['allocator_rss_ratio', (usedBytes / heapReservedBytes).toFixed(2)],
    ['allocator_rss_bytes', usedBytes - heapReservedBytes],
    ['rss_overhead_ratio', '1.00'],
    ['rss_overhead_bytes', 0],
    ['mem_fragmentation_ratio', (usedBytes / heapBytes).toFixed(2)],
    ['mem_fragmentation_bytes', usedBytes - heapBytes],
    ['mem_not_counted_for_evict', 0],
    ['mem_replication_backlog', 0],
    ['mem_total_replication_buffers', 0],
    ['mem_clients_slaves', 0],
    ['mem_clients_normal', clientBytes],
    ['mem_cluster_links', 0],
    ['mem_aof_buffer', 0],
    ['mem_allocator', 'v8'],
    ['active_defrag_running', 0],
    ['lazyfree_pending_objects', 0],
    ['lazyfreed_objects', 0],
    ...both('kvorum_memory_limit', config.memoryBytes),
    ['kvorum_memory_heap', heapReservedBytes - bufferBytes],
    ['kvorum_memory_buffers', bufferBytes],
  ];
}

/** Every acknowledged write is in a quorum's synced logs: to a Redis client, an append-only file that is always on. */
function persistence({ clock, users }: ServerContext): InfoField[] {
  // Clients that see this ask again before they send anything, as of a server that has not read its file yet.
  const loading: readonly InfoField[] = users.areKnown
    ? zeros('loading')
    : [
        ['loading', 1],
        ['loading_eta_seconds', 1],
      ];
  return [
    ...loading,
    ...zeros('async_loading', 'current_cow_peak', 'current_cow_size', 'current_cow_size_age'),
    ['current_fork_perc', '0.00'],
    ...zeros('current_save_keys_processed', 'current_save_keys_total'),
    ...zeros('rdb_changes_since_last_save', 'rdb_bgsave_in_progress'),
    ['rdb_last_save_time', Math.floor(clock.nowMs() / 1000)],
    ['rdb_last_bgsave_status', 'ok'],
    ['rdb_last_bgsave_time_sec', -1],
    ['rdb_current_bgsave_time_sec', -1],
    ...zeros('rdb_saves', 'rdb_last_cow_size', 'rdb_last_load_keys_expired', 'rdb_last_load_keys_loaded'),
    ['aof_enabled', 1],
    ...zeros('aof_rewrite_in_progress', 'aof_rewrite_scheduled'),
    ['aof_last_rewrite_time_sec', -1],
    ['aof_current_rewrite_time_sec', -1],
    ['aof_last_bgrewrite_status', 'ok'],
    ...zeros('aof_rewrites', 'aof_rewrites_consecutive_failures'),
    ['aof_last_write_status', 'ok'],
    ...zeros('aof_last_cow_size', 'module_fork_in_progress', 'module_fork_last_cow_size'),
    // Shown by a Redis whose append-only file is on.
    ...zeros('aof_current_size', 'aof_base_size', 'aof_pending_rewrite', 'aof_buffer_length'),
    ...zeros('aof_pending_bio_fsync', 'aof_delayed_fsync'),
  ];
}

const BYTES_PER_KIB = 1024;

function stats({ stats: counted, watch, kv, rates, clock, messages, tracking }: ServerContext): InfoField[] {
  const { topics } = messages.counters;
  const tracked = tracking.figures;
  const nowMs = clock.monotonicMs();
  const kibPerSecond = (name: 'inputBytes' | 'outputBytes') =>
    (rates.perSecond(name, counted[name], nowMs) / BYTES_PER_KIB).toFixed(2);
  return [
    ['total_connections_received', counted.connectionsReceived],
    ['total_commands_processed', counted.commandsProcessed],
    ['instantaneous_ops_per_sec', Math.round(rates.perSecond('commandsProcessed', counted.commandsProcessed, nowMs))],
    ['total_net_input_bytes', counted.inputBytes],
    ['total_net_output_bytes', counted.outputBytes],
    ...zeros('total_net_repl_input_bytes', 'total_net_repl_output_bytes'),
    ['instantaneous_input_kbps', kibPerSecond('inputBytes')],
    ['instantaneous_output_kbps', kibPerSecond('outputBytes')],
    ['instantaneous_input_repl_kbps', '0.00'],
    ['instantaneous_output_repl_kbps', '0.00'],
    ['rejected_connections', counted.connectionsRejected],
    ...zeros('sync_full', 'sync_partial_ok', 'sync_partial_err'),
    ['expired_keys', kv.expiredKeys - counted.expiredKeysBefore],
    ['expired_stale_perc', '0.00'],
    ...zeros('expired_time_cap_reached_count', 'expire_cycle_cpu_milliseconds', 'evicted_keys', 'evicted_clients'),
    ...zeros('total_eviction_exceeded_time', 'current_eviction_exceeded_time'),
    ['keyspace_hits', watch.keyspaceHits],
    ['keyspace_misses', watch.keyspaceMisses],
    ['pubsub_channels', topics.channel],
    ['pubsub_patterns', topics.pattern],
    ['pubsubshard_channels', topics.shard],
    ...zeros('latest_fork_usec', 'total_forks', 'migrate_cached_sockets', 'slave_expires_tracked_keys'),
    ...zeros('active_defrag_hits', 'active_defrag_misses', 'active_defrag_key_hits', 'active_defrag_key_misses'),
    ...zeros('total_active_defrag_time', 'current_active_defrag_time'),
    ['tracking_total_keys', tracked.keys],
    ['tracking_total_items', tracked.items],
    ['tracking_total_prefixes', tracked.prefixes],
    ['unexpected_error_replies', counted.unexpectedErrors],
    ['total_error_replies', counted.errorReplies],
    ['dump_payload_sanitizations', 0],
    ['total_reads_processed', counted.reads],
    ['total_writes_processed', counted.writes],
    ...zeros('io_threaded_reads_processed', 'io_threaded_writes_processed'),
    ...zeros('reply_buffer_shrinks', 'reply_buffer_expands'),
  ];
}

/** Clients look for a master to write to; every node takes writes and passes them on to the leader of the data. */
function replication(state: ServerContext): InfoField[] {
  const groups = state.kv.dataGroups();
  return [
    ['role', 'master'],
    ['connected_slaves', 0],
    ['master_failover_state', 'no-failover'],
    ['master_replid', state.replicationId],
    ['master_replid2', '0'.repeat(state.replicationId.length)],
    ['master_repl_offset', 0],
    ['second_repl_offset', -1],
    ...zeros('repl_backlog_active', 'repl_backlog_size', 'repl_backlog_first_byte_offset', 'repl_backlog_histlen'),
    ['kvorum_data_groups', groups.length],
    ['kvorum_groups_led', groups.filter((group) => state.kv.servesLocally(group)).length],
  ];
}

function cpu(): InfoField[] {
  const seconds = (micros: number) => (micros / 1e6).toFixed(6);
  const { system, user } = process.cpuUsage();
  const thread = process.threadCpuUsage();
  return [
    ['used_cpu_sys', seconds(system)],
    ['used_cpu_user', seconds(user)],
    ['used_cpu_sys_children', seconds(0)],
    ['used_cpu_user_children', seconds(0)],
    ['used_cpu_sys_main_thread', seconds(thread.system)],
    ['used_cpu_user_main_thread', seconds(thread.user)],
  ];
}

/** Sections in Redis' order; `keyspace` asks the leaders and is written apart. */
export const INFO_SECTIONS: ReadonlyMap<
  string,
  {
    readonly title: string;
    /** Shown by INFO ALL and EVERYTHING, and when it is asked for. */
    readonly isExtra?: boolean;
    fields(state: ServerContext, session: ClientSession): InfoField[];
  }
> = new Map([
  ['server', { title: 'Server', fields: server }],
  ['clients', { title: 'Clients', fields: clients }],
  ['memory', { title: 'Memory', fields: memory }],
  ['persistence', { title: 'Persistence', fields: persistence }],
  ['stats', { title: 'Stats', fields: stats }],
  ['replication', { title: 'Replication', fields: replication }],
  ['cpu', { title: 'CPU', fields: cpu }],
  ['modules', { title: 'Modules', fields: () => [] }],
  ['commandstats', { title: 'Commandstats', fields: commandStats, isExtra: true }],
  ['errorstats', { title: 'Errorstats', fields: errorStats }],
  ['latencystats', { title: 'Latencystats', fields: latencyStats, isExtra: true }],
  ['cluster', { title: 'Cluster', fields: (_state, session) => [['cluster_enabled', session.isClusterMode ? 1 : 0]] }],
]);
