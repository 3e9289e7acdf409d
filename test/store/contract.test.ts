/** One contract, four implementations: on LevelDB, in clear and encrypted, on its simulated twin, and in plain maps. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SystemDisk, SystemRandom } from '../../src/platform/index.ts';
import { DataKeys, SealedDisk } from '../../src/security/index.ts';
import { openGroupStore } from '../../src/store/group/open.ts';
import { openClassicLevel } from '../../src/store/level/level.ts';
import { SimulatedLevels } from '../../src/store/level/simulated-level.ts';
import { SealedLevels } from '../../src/store/sealed/index.ts';
import { contractCounterClassOf as counterClassOf, groupStoreContract } from '../support/group-store-contract.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { MemoryStore } from '../support/memory-store.ts';

groupStoreContract('a store on LevelDB', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kvorum-store-'));
  let count = 0;
  return {
    open: () => openGroupStore({ location: join(folder, `${++count}`), counterClassOf }),
    reopen: () => openGroupStore({ location: join(folder, `${count}`), counterClassOf }),
    dispose: () => rm(folder, { recursive: true, force: true }),
  };
});

groupStoreContract('an encrypted store on LevelDB', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kvorum-store-'));
  let count = 0;
  const open = () => {
    const keys = new DataKeys([{ id: 1, key: Buffer.alloc(32, 1) }], new SystemRandom());
    const disk = new SealedDisk(new SystemDisk(), keys, () => false);
    const openLevel = new SealedLevels({ keys, allowsClear: () => false }).over(openClassicLevel);
    return openGroupStore({ location: join(folder, `${count}`), counterClassOf, disk, openLevel });
  };
  return {
    open: () => {
      count++;
      return open();
    },
    reopen: open,
    dispose: () => rm(folder, { recursive: true, force: true }),
  };
});

groupStoreContract('a store on a simulated LevelDB', async () => {
  const levels = new SimulatedLevels();
  const disk = new MemoryDisk();
  const parts = { openLevel: levels.openLevel, folders: levels, disk, counterClassOf };
  let count = 0;
  return {
    open: () => openGroupStore({ ...parts, location: `store-${++count}` }),
    reopen: () => openGroupStore({ ...parts, location: `store-${count}` }),
    dispose: async () => {},
  };
});

groupStoreContract('a store in memory', async () => ({
  open: async () => new MemoryStore({ counterClassOf }),
  dispose: async () => {},
}));
