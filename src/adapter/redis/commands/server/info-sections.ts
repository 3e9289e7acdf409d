/** What INFO shows, section by section. Numbers that kvorum does not have are left out rather than made up, except where clients insist. */
import os from 'node:os';
import type { ClientSession, ServerContext } from '../../command/index.ts';
import { SERVER_VERSION } from '../../protocol/index.ts';

/** A line of INFO. */
export type InfoField = readonly [string, string | number];

const KIBI = 1024;

/** Bytes the way INFO's `_human` fields show them. */
export function humanBytes(bytes: number): string {
  const units = ['B', 'K', 'M', 'G', 'T'];
  let value = bytes;
  let unit = 0;
  while (value >= KIBI && unit < units.length - 1) {
    value /= KIBI;
    unit++;
  }
  return unit === 0 ? `${bytes}B` : `${value.toFixed(2)}${units[unit]}`;
}

function server(state: ServerContext, session: ClientSession): InfoField[] {
  const uptimeSeconds = Math.floor((state.clock.monotonicMs() - state.startedMs) / 1000);
  return [
    ['redis_version', SERVER_VERSION],
    ['redis_git_sha1', '00000000'],
    ['redis_git_dirty', 0],
    ['redis_build_id', '0000000000000000'],
    ['redis_mode', session.isClusterMode ? 'cluster' : 'standalone'],
    ['os', `${os.type()} ${os.release()} ${os.machine()}`],
    ['arch_bits', 64],
    ['process_id', process.pid],
    ['run_id', state.runId],
    ['tcp_port', state.port],
    ['server_time_usec', state.clock.nowMs() * 1000],
    ['uptime_in_seconds', uptimeSeconds],
    ['uptime_in_days', Math.floor(uptimeSeconds / 86_400)],
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
    ['tracking_clients', 0],
    ['clients_in_timeout_table', 0],
  ];
}

/** What the process takes of the machine is what is used: most of it lies outside of the heap, where nobody counts it. */
function memory({ config }: ServerContext): InfoField[] {
  const usage = process.memoryUsage();
  const counted = usage.heapUsed + usage.external;
  return [
    ['used_memory', usage.rss],
    ['used_memory_human', humanBytes(usage.rss)],
    ['used_memory_rss', usage.rss],
    ['used_memory_rss_human', humanBytes(usage.rss)],
    ['total_system_memory', os.totalmem()],
    ['total_system_memory_human', humanBytes(os.totalmem())],
    ['maxmemory', 0],
    ['maxmemory_human', '0B'],
    ['maxmemory_policy', 'noeviction'],
    ['mem_fragmentation_ratio', (usage.rss / counted).toFixed(2)],
    ['mem_allocator', 'v8'],
    ['kvorum_memory_limit', config.memoryBytes],
    ['kvorum_memory_limit_human', humanBytes(config.memoryBytes)],
    ['kvorum_memory_heap', usage.heapTotal],
    ['kvorum_memory_buffers', usage.external],
  ];
}

/** Every acknowledged write is in a quorum's synced logs: to a Redis client, an append-only file that is always on. */
function persistence(): InfoField[] {
  return [
    ['loading', 0],
    ['async_loading', 0],
    ['rdb_changes_since_last_save', 0],
    ['rdb_bgsave_in_progress', 0],
    ['rdb_last_bgsave_status', 'ok'],
    ['aof_enabled', 1],
    ['aof_rewrite_in_progress', 0],
    ['aof_rewrite_scheduled', 0],
    ['aof_last_bgrewrite_status', 'ok'],
    ['aof_last_write_status', 'ok'],
  ];
}

function stats({ stats: counted, kv, messages }: ServerContext): InfoField[] {
  const { topics } = messages.counters;
  return [
    ['total_connections_received', counted.connectionsReceived],
    ['total_commands_processed', counted.commandsProcessed],
    ['total_net_input_bytes', counted.inputBytes],
    ['total_net_output_bytes', counted.outputBytes],
    ['rejected_connections', counted.connectionsRejected],
    ['expired_keys', kv.expiredKeys - counted.expiredKeysBefore],
    ['evicted_keys', 0],
    ['pubsub_channels', topics.channel],
    ['pubsub_patterns', topics.pattern],
    ['pubsubshard_channels', topics.shard],
    ['total_error_replies', counted.errorReplies],
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
    ['master_repl_offset', 0],
    ['kvorum_data_groups', groups.length],
    ['kvorum_groups_led', groups.filter((group) => state.kv.servesLocally(group)).length],
  ];
}

/** From the reading of a command to the writing of its reply, which is not what Redis measures: there is no other time here. */
function commandStats({ table }: ServerContext): InfoField[] {
  const rows: InfoField[] = [];
  for (const { fullName, counters } of table.callable()) {
    const { calls, errors, latencyMs } = counters;
    const usec = Math.round(latencyMs.sum * 1000);
    const each = (usec / calls).toFixed(2);
    const facts = `calls=${calls},usec=${usec},usec_per_call=${each},rejected_calls=0,failed_calls=${errors}`;
    if (calls > 0) rows.push([`cmdstat_${fullName}`, facts]);
  }
  return rows;
}

function cpu(): InfoField[] {
  const { system, user } = process.cpuUsage();
  return [
    ['used_cpu_sys', (system / 1e6).toFixed(6)],
    ['used_cpu_user', (user / 1e6).toFixed(6)],
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
  ['errorstats', { title: 'Errorstats', fields: () => [] }],
  ['cluster', { title: 'Cluster', fields: (_state, session) => [['cluster_enabled', session.isClusterMode ? 1 : 0]] }],
]);
