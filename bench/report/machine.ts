/** The machine of the measurements, in one line. */
export function machine(): string {
  const cores = navigator.hardwareConcurrency;
  const load = Deno.loadavg()[0]?.toFixed(1);
  return `${cpuModel()}, ${cores} cores, ${Deno.build.os} ${Deno.build.arch}, ` +
    `Deno ${Deno.version.deno}, V8 ${Deno.version.v8}; load at the start ${load}`;
}

function cpuModel(): string {
  try {
    return /^model name\s*:\s*(.*)$/m.exec(Deno.readTextFileSync("/proc/cpuinfo"))?.[1] ??
      "unknown processor";
  } catch {
    return "unknown processor";
  }
}
