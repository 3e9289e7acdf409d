import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type NodeId, nodeId } from '../../src/platform/index.ts';
import { simpleConf } from '../../src/raftengine/core/conf-changer.ts';
import { PeerLiveness } from '../../src/raftengine/liveness/peer-liveness.ts';
import { type Restable, RestingGroups } from '../../src/raftengine/liveness/resting-groups.ts';

const SELF = nodeId(1);
const LEADER = nodeId(2);
const CONF = simpleConf([SELF, LEADER, nodeId(3)]);

class Replica implements Restable {
  readonly isLeading = false;
  readonly leaderNode: NodeId = LEADER;
  readonly conf = CONF;
  wakes = 0;

  wake(): void {
    this.wakes += 1;
  }
}

test('a follower that goes to rest under a node which is absent already is woken again: nobody would miss that node', () => {
  const liveness = new PeerLiveness(1000);
  const groups = new RestingGroups<Replica>(SELF, liveness);
  const replica = new Replica();
  groups.add(replica);
  groups.rests(replica);
  groups.wakeSome(0);
  assert.equal(replica.wakes, 1);
  liveness.heard(LEADER, 7, 0);
  groups.wakes(replica);
  groups.rests(replica);
  groups.wakeSome(10);
  assert.equal(replica.wakes, 1, 'the node is present: it rests');
});

test('thousands of groups whose leader is lost are woken in slices', () => {
  const liveness = new PeerLiveness(1000);
  liveness.heard(LEADER, 7, 0);
  const groups = new RestingGroups<Replica>(SELF, liveness);
  const replicas = Array.from({ length: 1300 }, () => new Replica());
  for (const replica of replicas) groups.rests(replica);
  groups.peerLost(LEADER);
  const woken: number[] = [];
  for (let tick = 0; tick < 4; tick++) {
    const before = replicas.reduce((sum, { wakes }) => sum + wakes, 0);
    groups.wakeSome(tick * 10);
    woken.push(replicas.reduce((sum, { wakes }) => sum + wakes, 0) - before);
  }
  assert.deepEqual(woken, [512, 512, 276, 0]);
});
