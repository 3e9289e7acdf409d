/**
 * `npm run test:watched -- test/kv/executor.test.ts`: tells which turns of a test's process take more than 50 ms of processor time, and the functions
 * that do it. For `node --import`; nodes that tests start as processes watch over themselves.
 */
import { InspectorSampler } from '../../src/node/stack-samples.ts';
import { LoopWatch, SystemClock, SystemScheduler } from '../../src/platform/index.ts';

const scheduler = new SystemScheduler();
const [program = '', file = ''] = process.argv.slice(1);
new LoopWatch({
  clock: new SystemClock(),
  scheduler,
  sampler: new InspectorSampler(scheduler),
  onHeld: ({ processorMs }, place) => {
    console.error(
      `${file === '' ? program : file}: one turn took ${processorMs.toFixed(0)} ms of processor time: ${place}`,
    );
  },
}).start();
