/** What operators are told of a node's configuration when they look for what is not right. */
import type { NodeOptions } from './node-settings.ts';

/** What has to be equal on all nodes for the cluster to behave as each of them expects. */
export const sharedSettings = ({ raft, retentionMs, clusterName }: NodeOptions): Record<string, string | number> => ({
  clusterName,
  'raft.tickMs': raft.tickMs,
  'raft.heartbeatMs': raft.heartbeatMs,
  'raft.electionTimeoutMs': raft.electionTimeoutMs,
  retentionMs,
});

const LOOPBACK: readonly string[] = ['127.0.0.1', '::1', 'localhost'];

/** What works and may be regretted, each a sentence. */
export function remarksOn({ insecure, redis, grpc, metrics, members }: NodeOptions): string[] {
  const remarks: string[] = [];
  const isOpen = [redis.host, grpc.host, metrics.host].some((host) => !LOOPBACK.includes(host));
  if (insecure && isOpen) {
    remarks.push('it listens beyond this machine and insecure is set: whoever reaches it reads and writes; set up TLS');
  }
  if (redis.enableDebugCommand) remarks.push('its debug commands are enabled; they are for tests');
  if (members.length > 1 && grpc.port === 0) {
    remarks.push('its gRPC port is another one after each start, so that the others lose it; set grpc.port');
  }
  return remarks;
}
