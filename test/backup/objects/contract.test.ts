/** Folders and simulated stores keep the promises of a place for objects. A bucket of a real server: `s3.test.ts`. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FolderObjects, SimulatedObjects } from '../../../src/backup/index.ts';
import { SeededRandom, SystemDisk, SystemRandom, SystemScheduler } from '../../../src/platform/index.ts';
import { objectStoreContract } from '../../support/object-store-contract.ts';

const LARGE_BYTES = 5 << 20;

objectStoreContract(
  'a folder',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'kvorum-objects-'));
    const store = new FolderObjects({
      disk: new SystemDisk(),
      folder: join(folder, 'not', 'there', 'yet'),
      random: new SystemRandom(),
    });
    return { store, end: async () => rmSync(folder, { recursive: true }) };
  },
  LARGE_BYTES,
);

objectStoreContract(
  'simulated memory',
  async () => {
    const store = new SimulatedObjects(new SystemScheduler(), new SeededRandom(1));
    store.slowMs = 2;
    return { store, end: () => store.close() };
  },
  LARGE_BYTES,
);
