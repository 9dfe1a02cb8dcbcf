// The words of the player, its numbers, and the arrays of a trace after any number of steps.

const LONG = 12; // numbers that are still written out, as in steps.py
const EN = {
  first: "First", back: "Back", next: "Next", last: "Last", play: "Play", pause: "Pause",
  previousResult: "Previous result", nextResult: "Next result",
  formula: "Formula", code: "Code", cells: "Cells", numbers: "Numbers", before: "before the first step",
  step: (k, n) => `step ${k} of ${n}`, range: (a, b) => `steps ${a} to ${b}`, sections: "Sections",
  many: (shape) => `${shape} numbers`,
  yes: "yes", no: "no", forward: "forward", backward: "backward", update: "update", position: "Step",
  keys: "Keys: ← → a step, ↑ ↓ a result, Home, End, space plays",
  read: "read now", write: "written now", window: "read before, for the same result", empty: "not yet written",
};
const ZH = {
  first: "开头", back: "上一步", next: "下一步", last: "末尾", play: "播放", pause: "暂停",
  previousResult: "上一个结果", nextResult: "下一个结果",
  formula: "公式", code: "代码", cells: "单元", numbers: "数值", before: "第一步之前",
  step: (k, n) => `第 ${k} 步，共 ${n} 步`, range: (a, b) => `第 ${a} 至 ${b} 步`, sections: "各段",
  many: (shape) => `${shape} 个数`,
  yes: "是", no: "否", forward: "前向", backward: "反向", update: "更新", position: "步",
  keys: "按键：← → 一步，↑ ↓ 一个结果，Home、End，空格播放",
  read: "正在读取", write: "正在写入", window: "为同一结果已读取", empty: "尚未写入",
};
const say = /^zh/i.test(document.documentElement.lang) ? ZH : EN;

// ------------------------------------------------------------ numbers

const number = (v) => (typeof v === "string" ? { nan: NaN, inf: Infinity, "-inf": -Infinity }[v] : v);

/** Of rows of the same length; of others, how many numbers they hold in all. */
function shapeOf(value) {
  if (!Array.isArray(value)) return [];
  const [inner, ...others] = value.map(shapeOf);
  return others.every((one) => `${one}` === `${inner}`) ? [value.length, ...inner] : [value.flat(Infinity).length];
}

/** Five places, as Python writes them; what lies halfway goes to the even digit. Of many numbers, how many. */
function shown(value) {
  if (Array.isArray(value)) {
    const long = value.flat(Infinity).length > LONG;
    return long ? say.many(shapeOf(value).join("x")) : `[${value.map(shown).join(", ")}]`;
  }
  if (typeof value === "boolean") return value ? say.yes : say.no;
  const v = number(value);
  if (Number.isNaN(v)) return "nan";
  if (!Number.isFinite(v)) return v > 0 ? "inf" : "-inf";
  if (v === 0) return "0";
  const exact = Math.abs(v).toExponential(40);
  const even = /^\d\.\d{3}[02468]50+e/.test(exact);
  const rounded = even ? exact.slice(0, 6) + exact.slice(exact.indexOf("e")) : Math.abs(v).toExponential(4);
  const [digits, power] = rounded.split("e");
  const sign = v < 0 ? "-" : "";
  if (power >= -4 && power < 5) return sign + String(Number(rounded));
  return `${sign}${digits.replace(/\.?0+$/, "")}e${power[0]}${power.slice(1).padStart(2, "0")}`;
}

// ------------------------------------------------------------ the trace, at any step

/** The arrays after `done` steps; going back undoes exactly what going forward did. */
function memory(data) {
  const now = data.arrays.map(([, , values]) => values.map(number));
  const written = data.arrays.map(([, , values]) => new Uint16Array(values.length));
  const groups = (step, which) => step[which].map((k) => data.cells[k]);
  let done = 0;
  function mark(step, by) {
    for (const [a, ids] of groups(step, 5)) for (const cell of ids) written[a][cell] += by;
    for (const [a, cell] of step[6]) written[a][cell] += by;
  }
  return {
    now, written, groups,
    go(k) {
      for (; done < k; done++) {
        mark(data.steps[done], 1);
        for (const [a, cell, , after] of data.steps[done][6]) now[a][cell] = number(after);
      }
      for (; done > k; done--) {
        mark(data.steps[done - 1], -1);
        for (const [a, cell, before] of [...data.steps[done - 1][6]].reverse()) now[a][cell] = number(before);
      }
    },
  };
}

/** For each array the cell looked at last after so many steps, and the step that meets it first. */
function attention(data) {
  return data.arrays.map(([, , , born], a) => {
    const cell = new Int32Array(data.steps.length + 1).fill(-1);
    let first = -1;
    data.steps.forEach((step, k) => {
      const met = [...step[5], ...step[4]].map((c) => data.cells[c]).find(([b, ids]) => b === a && ids.length);
      cell[k + 1] = met ? met[1][0] : cell[k];
      if (first < 0 && (met || step[6].some(([b]) => b === a))) first = k;
    });
    return { cell, first: first < 0 && born ? data.steps.length - 1 : first };
  });
}

/** Runs of steps of the same phase and function. */
function sectionsOf(data) {
  const sections = [];
  data.steps.forEach(([line], k) => {
    const [phase, twin] = data.lines[line];
    const last = sections[sections.length - 1];
    if (last && last.phase === phase && last.twin === twin) last.stop = k + 1;
    else sections.push({ phase, twin, start: k, stop: k + 1 });
  });
  return sections;
}
