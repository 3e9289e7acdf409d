/** `kvorum config`: what a node would run with, and why. */
import type { Command } from 'commander';
import { configurationPage, nodeSettings, toNodeOptions } from '../../src/config/index.ts';
import { addSettingOptions, loadSettings } from '../cli/setting-options.ts';
import { formatTable } from '../cli/table.ts';

/** Adds the command. */
export function addConfigCommand(program: Command): void {
  const command = program
    .command('config')
    .summary('show the settings a node would run with and where each comes from')
    .description('Loads settings as `kvorum server` does, and prints them instead of starting a node.')
    .option('--json', 'print as JSON')
    .option('--reference', 'print the reference page of all settings (Markdown)');
  addSettingOptions(command, nodeSettings);
  command.action(() => {
    const options = command.opts<{ json?: boolean; reference?: boolean }>();
    if (options.reference) {
      process.stdout.write(configurationPage());
      return;
    }
    const { values, origins } = loadSettings(nodeSettings, command.opts());
    const nodeOptions = toNodeOptions(values);
    if (options.json) {
      console.log(JSON.stringify(nodeOptions, undefined, 2));
      return;
    }
    const rows = Object.entries(nodeSettings).map(([key, setting]) => [
      key,
      setting.format(values[key as keyof typeof values] as never) || 'none',
      origins.get(key) ?? 'default',
    ]);
    console.log(formatTable([['key', 'value', 'from'], ...rows]));
  });
}
