/** An upgrade node by node, with ways back for as long as there are any. */
import type { Random } from '../../src/platform/index.ts';
import type { Nemesis, NodeNumber, TestCluster } from '../types.ts';

/** How many of the steps before the last one are ways back. */
const BACK_SHARE = 1 / 3;

const oneOf = (nodes: readonly NodeNumber[], random: Random): NodeNumber => nodes[random.int(nodes.length)]!;

export const upgrade: Nemesis = {
  name: 'upgrade',
  description:
    'begins with release 0.1.0 and restarts one node after another with this program, now and then one with the old again, until all have this one',
  beginsWithRelease: '0.1.0',
  async inject(cluster: TestCluster, random: Random) {
    const released = cluster.nodes.filter((node) => cluster.programOf(node) === 'released');
    const present = cluster.nodes.filter((node) => !released.includes(node));
    // What only this program can do is switched on when nobody has the old one, and then there is no way back.
    if (released.length === 0) return { all: 'present' };
    const isBack = present.length > 0 && random.next() < BACK_SHARE;
    const node = oneOf(isBack ? present : released, random);
    const program = isBack ? 'released' : 'present';
    await cluster.shutDown(node);
    cluster.setProgram(node, program);
    await cluster.start(node);
    return { node, program };
  },
  async heal() {},
};
