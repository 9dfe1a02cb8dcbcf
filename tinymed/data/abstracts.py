"""Generated abstracts in the manner of Medical Abstracts, English or Chinese, for where no real texts are at hand.

They are put together from templates, not written by anybody. What a model scores on them says nothing about medicine.
"""

from __future__ import annotations

import numpy as np

from tinymed.data.text import CONDITIONS, TextDataset

SHARES = (633, 299, 385, 610, 961)  # of the classes in Medical Abstracts' test file
STRAY = 0.35  # the share of medical words that come from any class
GENERAL = 0.6  # of those in the last class: its texts are about anything

# for each class, in CONDITIONS' order: {disease}, {finding}, {therapy}
ENGLISH: tuple[dict[str, str], ...] = (
    {
        "disease": "breast carcinoma|lung cancer|malignant melanoma|lymphoma|ovarian tumor|renal cell carcinoma",
        "finding": "lymph node metastases|tumor recurrence|p53 overexpression|a solid mass|aneuploid cells",
        "therapy": "adjuvant chemotherapy|radiotherapy|tamoxifen|radical resection|cisplatin",
    },
    {
        "disease": "peptic ulcer|Crohn's disease|chronic hepatitis|colitis|gallstones|cirrhosis of the liver",
        "finding": "gastric acid secretion|variceal bleeding|raised bilirubin|Helicobacter pylori|mucosal lesions",
        "therapy": "omeprazole|endoscopic sclerotherapy|cholecystectomy|ranitidine|liver transplantation",
    },
    {
        "disease": "epilepsy|Parkinson's disease|multiple sclerosis|migraine|dementia|peripheral neuropathy",
        "finding": "cognitive impairment|seizures|abnormal evoked potentials|white matter lesions|loss of reflexes",
        "therapy": "carbamazepine|levodopa|nerve decompression|valproate|a dopamine agonist",
    },
    {
        "disease": "myocardial infarction|hypertension|heart failure|atrial fibrillation|coronary disease|stroke",
        "finding": "a low ejection fraction|ST segment depression|high blood pressure|arrhythmia|restenosis",
        "therapy": "angioplasty|thrombolysis|a beta blocker|captopril|bypass grafting",
    },
    {
        "disease": "sepsis|postoperative pain|trauma|chronic fatigue|pulmonary edema|wound infection",
        "finding": "fever|a raised white cell count|hemorrhage|oxygen desaturation|delayed healing",
        "therapy": "antibiotics|intravenous fluids|morphine|early surgery|mechanical ventilation",
    },
)
ENGLISH_SENTENCES = (
    "We studied {n} patients with {disease}.",
    "The aim was to assess {therapy} in {disease}.",
    "Of the patients, {n} had {finding}.",
    "Patients were randomised to {therapy} or to no treatment, and seen for {n} weeks.",
    "Of those treated with {therapy}, {n} percent improved.",
    "The outcome was worse in patients with {finding}.",
    "No serious side effects were observed during follow-up of {n} months.",
    "The two groups did not differ in the rate of {finding}.",
    "We report a case of {disease} with {finding}.",
    "These results suggest that {therapy} is of use in selected patients.",
    "Further controlled trials are needed.",
)
CHINESE_CONDITIONS = ("肿瘤", "消化系统疾病", "神经系统疾病", "心血管疾病", "一般病理状况")
CHINESE: tuple[dict[str, str], ...] = (
    {
        "disease": "乳腺癌|肺癌|恶性黑色素瘤|淋巴瘤|卵巢肿瘤|肾细胞癌",
        "finding": "淋巴结转移|肿瘤复发|实性肿块|异型细胞|抑癌基因突变",
        "therapy": "辅助化疗|放射治疗|根治性切除|顺铂|内分泌治疗",
    },
    {
        "disease": "消化性溃疡|克罗恩病|慢性肝炎|结肠炎|胆结石|肝硬化",
        "finding": "胃酸分泌增多|静脉曲张出血|胆红素升高|幽门螺杆菌感染|黏膜病变",
        "therapy": "奥美拉唑|内镜下治疗|胆囊切除术|雷尼替丁|肝移植",
    },
    {
        "disease": "癫痫|帕金森病|多发性硬化|偏头痛|痴呆|周围神经病",
        "finding": "认知障碍|抽搐发作|诱发电位异常|白质病变|腱反射消失",
        "therapy": "卡马西平|左旋多巴|神经减压术|丙戊酸钠|多巴胺受体激动剂",
    },
    {
        "disease": "心肌梗死|高血压|心力衰竭|心房颤动|冠心病|脑卒中",
        "finding": "射血分数降低|心电图改变|血压升高|心律失常|血管再狭窄",
        "therapy": "冠状动脉成形术|溶栓治疗|倍他受体阻滞剂|卡托普利|搭桥手术",
    },
    {
        "disease": "脓毒症|术后疼痛|创伤|慢性疲劳|肺水肿|伤口感染",
        "finding": "发热|白细胞升高|出血|血氧饱和度下降|愈合延迟",
        "therapy": "抗生素|静脉补液|吗啡|早期手术|机械通气",
    },
)
CHINESE_SENTENCES = (
    "本研究观察了{n}例{disease}患者。",
    "目的是评价{therapy}治疗{disease}的疗效。",
    "{n}例患者出现{finding}。",
    "患者随机接受{therapy}或不予治疗，观察{n}周。",
    "接受{therapy}的患者中，{n}%的症状有所改善。",
    "伴有{finding}的患者预后较差。",
    "随访{n}个月，未见严重不良反应。",
    "两组之间{finding}无明显差异。",
    "报告一例伴有{finding}的{disease}。",
    "结果提示{therapy}对部分患者有效。",
    "尚需进一步的对照试验。",
)
LANGUAGES = {
    "en": (CONDITIONS, ENGLISH, ENGLISH_SENTENCES, " "),
    "zh": (CHINESE_CONDITIONS, CHINESE, CHINESE_SENTENCES, ""),
}


def make_abstracts(n: int, seed: int = 0, language: str = "en") -> TextDataset:
    """n generated abstracts of three to six sentences, and the kind of condition each is about: five classes.

    Diseases, findings and therapies come from the class's own list, but for a third of them, which come from any
    class's, and for three of five in texts on general pathological conditions. Sentences without such words, and
    numbers, say nothing of the class. The classes and their shares are Medical Abstracts'.

    language  "en" or "zh"
    Equal seeds give equal texts. Raises ValueError for n below 1 and other languages.
    """
    if n < 1 or language not in LANGUAGES:
        raise ValueError(f'make_abstracts needs n >= 1 and language "en" or "zh", got n={n} and {language!r}')
    classes, words, sentences, between = LANGUAGES[language]
    rng = np.random.default_rng(seed)
    labels = rng.choice(len(classes), n, p=np.divide(SHARES, sum(SHARES)))
    texts = [between.join(_abstract(rng, k, words, sentences)) for k in labels]
    source = f"generated: make_abstracts({n}, seed={seed}, language={language!r})"
    return TextDataset(texts, labels, classes, source)


def _abstract(
    rng: np.random.Generator, label: int, words: tuple[dict[str, str], ...], sentences: tuple[str, ...]
) -> list[str]:
    """The sentences of one text, in the order of the templates."""

    def word(slot: str) -> str:
        stray = rng.random() < (GENERAL if label == len(words) - 1 else STRAY)
        choices = words[rng.integers(len(words)) if stray else label][slot].split("|")
        return choices[rng.integers(len(choices))]

    chosen = np.sort(rng.choice(len(sentences), rng.integers(3, 7), replace=False))
    slots = ("disease", "finding", "therapy")
    return [sentences[k].format(n=rng.integers(5, 99), **{slot: word(slot) for slot in slots}) for k in chosen]
