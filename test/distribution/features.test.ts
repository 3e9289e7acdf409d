import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { clusterStateOf } from '../../src/distribution/catalog/catalog-state.ts';
import { CAPABILITIES, FEATURES, featureStanding } from '../../src/distribution/catalog/features.ts';
import { nodeReport } from './builders.ts';
import { CatalogModel } from './catalog-model.ts';

const NAME = 'redis.collections';
const OLD = CAPABILITIES & ~(1n << BigInt(FEATURES[NAME]!.bit));

/** A cluster that was founded by nodes 1 to 3, of which these were heard. */
function heardOf(...nodes: readonly { readonly id: number; readonly capabilities?: bigint }[]): CatalogModel {
  const model = CatalogModel.bootstrapped();
  for (const { id, capabilities = CAPABILITIES } of nodes) {
    model.run({ kind: 'putNode', node: nodeReport(id, { capabilities }), expectedRevision: undefined });
  }
  return model;
}

const standingIn = (model: CatalogModel) => featureStanding(clusterStateOf(model.state), NAME);

test('each feature has a bit of its own, in the order in which they came', () => {
  assert.deepEqual(
    Object.values(FEATURES).map(({ bit }) => bit),
    Object.keys(FEATURES).map((_, at) => at),
  );
});

describe('how a feature stands for a node', () => {
  test('that was told nothing yet: it may come', () => {
    assert.deepEqual(featureStanding(undefined, NAME), { kind: 'coming', unheard: [] });
  });

  test('is told with the founders that nobody has heard of', () => {
    assert.deepEqual(standingIn(heardOf({ id: 1 })), { kind: 'coming', unheard: [2, 3] });
    assert.deepEqual(standingIn(heardOf({ id: 1 }, { id: 2 }, { id: 3 })), { kind: 'coming', unheard: [] });
  });

  test('is off while a program lacks it, whoever else is missing', () => {
    assert.deepEqual(standingIn(heardOf({ id: 1 }, { id: 2, capabilities: OLD })), { kind: 'off', lacking: [2] });
  });

  test('is off while operators have reserved it', () => {
    const model = heardOf({ id: 1 }, { id: 2 }, { id: 3 });
    model.run({ kind: 'setSetting', name: 'features.auto', value: 'off' });
    assert.deepEqual(standingIn(model), { kind: 'off', lacking: [] });
  });

  test('is active for good', () => {
    const model = heardOf({ id: 1 }, { id: 2 }, { id: 3 });
    model.run({ kind: 'activateFeature', name: NAME });
    model.run({ kind: 'setSetting', name: 'features.auto', value: 'off' });
    assert.deepEqual(standingIn(model), { kind: 'active' });
  });
});
