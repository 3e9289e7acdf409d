/** What monitoring tools read of INFO: every field that redis_exporter and `redis-cli --stat` take, with what they make of it. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type RawClient, request, startTestServer, type TestServer } from '../harness.ts';

const wordsOf = (text: string): readonly string[] => text.split(/\s+/).filter((word) => word !== '');

/** Fields of a Redis 7.0 that redis_exporter turns into numbers. */
const NUMBERS = wordsOf(`
  uptime_in_seconds process_id
  connected_clients blocked_clients tracking_clients clients_in_timeout_table cluster_connections maxclients
  client_recent_max_output_buffer client_recent_max_input_buffer
  allocator_active allocator_allocated allocator_resident allocator_frag_ratio allocator_frag_bytes allocator_rss_ratio allocator_rss_bytes
  used_memory used_memory_rss used_memory_peak used_memory_lua used_memory_vm_eval used_memory_scripts_eval used_memory_overhead
  used_memory_startup used_memory_dataset number_of_cached_scripts number_of_functions number_of_libraries used_memory_vm_functions
  used_memory_scripts used_memory_functions maxmemory total_system_memory
  mem_fragmentation_ratio mem_fragmentation_bytes mem_clients_slaves mem_clients_normal mem_cluster_links mem_aof_buffer mem_replication_backlog
  mem_not_counted_for_evict mem_total_replication_buffers lazyfree_pending_objects lazyfreed_objects active_defrag_running
  expired_stale_perc expired_time_cap_reached_count expire_cycle_cpu_milliseconds migrate_cached_sockets
  active_defrag_hits active_defrag_misses active_defrag_key_hits active_defrag_key_misses
  loading async_loading rdb_changes_since_last_save rdb_bgsave_in_progress rdb_last_save_time rdb_last_bgsave_time_sec
  rdb_current_bgsave_time_sec rdb_saves rdb_last_cow_size rdb_last_load_keys_expired rdb_last_load_keys_loaded
  aof_enabled aof_rewrite_in_progress aof_rewrite_scheduled aof_last_rewrite_time_sec aof_current_rewrite_time_sec aof_last_cow_size
  aof_current_size aof_base_size aof_pending_rewrite aof_buffer_length aof_pending_bio_fsync aof_delayed_fsync
  module_fork_in_progress module_fork_last_cow_size
  pubsub_channels pubsub_patterns pubsubshard_channels latest_fork_usec
  connected_slaves repl_backlog_size repl_backlog_active repl_backlog_first_byte_offset repl_backlog_histlen master_repl_offset
  second_repl_offset slave_expires_tracked_keys sync_full sync_partial_ok sync_partial_err
  io_threads_active io_threaded_reads_processed io_threaded_writes_processed
  total_connections_received total_commands_processed rejected_connections total_net_input_bytes total_net_output_bytes
  total_net_repl_input_bytes total_net_repl_output_bytes expired_keys evicted_keys evicted_clients total_eviction_exceeded_time
  current_eviction_exceeded_time keyspace_hits keyspace_misses total_error_replies unexpected_error_replies total_reads_processed
  total_writes_processed tracking_total_keys tracking_total_items tracking_total_prefixes
  used_cpu_sys used_cpu_user used_cpu_sys_children used_cpu_user_children used_cpu_sys_main_thread used_cpu_user_main_thread cluster_enabled
`);

/** Statuses that become 1 for `ok`, and labels. */
const WORDS: Readonly<Record<string, RegExp>> = {
  rdb_last_bgsave_status: /^ok$/,
  aof_last_bgrewrite_status: /^ok$/,
  aof_last_write_status: /^ok$/,
  role: /^master$/,
  redis_version: /^\d+\.\d+\.\d+$/,
  redis_build_id: /./,
  redis_mode: /^(standalone|cluster)$/,
  os: /./,
  maxmemory_policy: /./,
  tcp_port: /^\d+$/,
  run_id: /^[0-9a-f]{40}$/,
  master_replid: /^[0-9a-f]{40}$/,
};

/** What `redis-cli --stat` shows. */
const SHOWN = wordsOf(
  'used_memory connected_clients blocked_clients total_commands_processed total_connections_received',
);

function fieldsOf(info: string): ReadonlyMap<string, string> {
  const lines = info.split('\r\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]));
}

/** `a=1,b=2` */
const partsOf = (value: string): Readonly<Record<string, number>> =>
  Object.fromEntries(value.split(',').map((part) => [part.split('=')[0]!, Number(part.split('=')[1])]));

describe('what monitoring reads of INFO', () => {
  let server: TestServer;
  let client: RawClient;
  const info = async (...sections: string[]): Promise<ReadonlyMap<string, string>> =>
    fieldsOf(String(await client.call('INFO', ...sections)));
  before(async () => {
    server = await startTestServer();
    client = await server.connect();
  });
  after(() => server.stop());

  test('is there, and what is to be a number is one', async () => {
    const fields = await info('all');
    for (const field of [...NUMBERS, ...SHOWN]) assert.match(fields.get(field) ?? 'missing', /^-?\d+(\.\d+)?$/, field);
    for (const [field, form] of Object.entries(WORDS)) assert.match(fields.get(field) ?? 'missing', form, field);
  });

  test('counts keys that expire, and what they have left', async () => {
    for (const key of ['a', 'b', 'c', 'd']) await client.call('SET', key, '1');
    await client.call('PEXPIRE', 'a', '1000000');
    await client.call('PEXPIRE', 'b', '3000000');
    const { keys, expires, avg_ttl: averageMs } = partsOf((await info('keyspace')).get('db0')!);
    assert.deepEqual([keys, expires], [4, 2]);
    assert.ok(averageMs! > 1_900_000 && averageMs! <= 2_000_000, String(averageMs));
    await client.call('SELECT', '3');
    await client.call('SET', 'x', '1');
    await client.call('SELECT', '0');
    assert.equal((await info('keyspace')).get('db3'), 'keys=1,expires=0,avg_ttl=0');
  });

  test('estimates how many of many keys expire', async () => {
    await client.call('SELECT', '5');
    for (let at = 0; at < 600; at++)
      client.send(request('SET', `k${at}`, '1', ...(at % 2 === 0 ? ['EX', '1000'] : [])));
    await client.readMany(600);
    await client.call('SELECT', '0');
    const { keys, expires } = partsOf((await info('keyspace')).get('db5')!);
    assert.equal(keys, 600);
    assert.ok(expires! > 150 && expires! < 450, String(expires));
  });

  test('says what scripts and functions there are', async () => {
    const before = await info('memory');
    await client.call('SCRIPT', 'FLUSH');
    await client.call('EVAL', 'return 1', '0');
    await client.call('EVAL', 'return 22', '0');
    const fields = await info('memory');
    assert.equal(fields.get('number_of_cached_scripts'), '2');
    assert.equal(fields.get('used_memory_scripts_eval'), '17');
    assert.ok(Number(fields.get('used_memory_vm_eval')) > Number(before.get('used_memory_vm_eval')));
    const code =
      "#!lua name=lib\nredis.register_function('f', function() return 1 end) redis.register_function('g', function() return 2 end)";
    await client.call('FUNCTION', 'LOAD', code);
    await client.call('FCALL', 'f', '0');
    const loaded = await info('memory');
    assert.equal(loaded.get('number_of_libraries'), '1');
    assert.equal(loaded.get('number_of_functions'), '2');
    assert.equal(loaded.get('used_memory_functions'), String(code.length));
  });

  test('leaves out of the time of commands what they have waited', async () => {
    await client.call('CONFIG', 'RESETSTAT');
    await client.call('SET', 'list:no', '1');
    await client.call('BLPOP', 'nothing', '0.5');
    const fields = await info('commandstats');
    const blocked = partsOf(fields.get('cmdstat_blpop')!);
    assert.equal(blocked.calls, 1);
    assert.ok(blocked.usec! < 500_000, String(blocked.usec));
    const set = partsOf(fields.get('cmdstat_set')!);
    assert.deepEqual(Object.keys(set), ['calls', 'usec', 'usec_per_call', 'rejected_calls', 'failed_calls']);
    assert.equal(set.usec_per_call, Number(set.usec!.toFixed(2)));
    assert.ok(set.usec! > 0);
  });
});
