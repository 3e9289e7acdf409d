/**
 * Stands in for `kvorum server` in tests of the launcher: speaks its channel, obeys its signals, and misbehaves as the
 * environment says (for one node: `STUB_NODE`).
 */
import { isToNode, sendToLauncher } from '../../cmd/cluster/index.ts';

const flag = (name: string): string => process.argv.find((arg) => arg.startsWith(`--${name}=`))?.split('=')[1] ?? '';
const nodeId = Number(flag('node-id'));
const behaviour = Number(process.env.STUB_NODE) === nodeId ? process.env.STUB_BEHAVIOUR : undefined;

if (behaviour === 'failAtStart') {
  console.error('the log is torn');
  process.exit(3);
}
if (behaviour === 'endsForGood') process.exit(4);
process.on('SIGTERM', () => {
  if (behaviour !== 'ignoreStop') process.exit(0);
});
process.on('disconnect', () => process.exit(0));
const bornMs = Date.now();
process.on('message', (message) => {
  if (!isToNode(message)) return;
  const leader = behaviour === 'noLeader' && Date.now() - bornMs < 200 ? undefined : 1;
  const role = leader === nodeId ? 'leader' : 'follower';
  sendToLauncher({
    kind: 'status',
    isReady: leader !== undefined,
    reason: leader === undefined ? 'no leader is known' : 'ready',
    groups: [{ groupId: 1, role, term: 1, leader, commitIndex: 1, appliedIndex: 1 }],
  });
});
console.log(JSON.stringify({ level: 30, time: 0, msg: 'hello', data: flag('data-folder') }));
sendToLauncher({
  kind: 'listening',
  addresses: {
    redis: `127.0.0.1:${flag('redis-port')}`,
    redisCluster: `127.0.0.1:${flag('redis-cluster-port')}`,
    grpc: `127.0.0.1:${flag('grpc-port')}`,
    metrics: 'm',
  },
});
